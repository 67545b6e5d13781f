import { apiPath } from './query.js';
import { askFile } from './api.js';
import { readKey } from './key.js';
import { make } from './dom.js';

/** The command that requests the same figures; it names a variable for the key, so that nobody copies the key itself. */
export function curlCommand(search) {
  const key = readKey() === '' ? '' : `-H "Authorization: Bearer $PITAYA_KEY" `;
  return `curl ${key}'${location.origin}${apiPath(search).replaceAll("'", '%27')}'`;
}

/** Copies `text`; returns whether that worked. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Saves the figures as a file in `format`. */
export async function download(search, meta, format) {
  const blob = await askFile(apiPath(search, format));
  const link = make('a', { href: URL.createObjectURL(blob), download: fileName(meta, format) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The name of the file: its metrics, dates and bucket. */
export function fileName({ metrics, from, to, bucket }, format) {
  const names = metrics.map(({ name }) => name).join('-');
  return ['pitaya', names, from, ...(to === from ? [] : [to]), bucket].join('_') + `.${format}`;
}

// `navigator.clipboard` exists only on secure origins, and Pitaya may run on an insecure one.
function copyBySelection(text) {
  const field = make('textarea', { value: text, className: 'unseen' });
  document.body.append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  return copied;
}
