import { announce } from './announce.js';
import { byId } from './dom.js';
import { showProblem } from './problems.js';
import { copy, curlCommand, download } from './share.js';

const CONFIRMED_FOR = 1600;

/** Handles the buttons that export the query; `shown` returns the answer's `{search, meta}`. */
export function attachTools(shown) {
  const texts = { 'copy-url': () => location.href, 'copy-curl': () => curlCommand(shown().search) };
  for (const [id, text] of Object.entries(texts)) {
    const button = byId(id);
    button.addEventListener('click', async () => confirm(button, (await copy(text())) ? 'Copied' : 'Copying was refused'));
  }
  for (const format of ['csv', 'xlsx']) {
    const button = byId(`download-${format}`);
    button.addEventListener('click', async () => {
      try {
        await download(shown().search, shown().meta, format);
        confirm(button, 'Downloaded');
      } catch (error) {
        showProblem(error, () => button.click());
      }
    });
  }
}

function confirm(button, done) {
  button.dataset.label ??= button.textContent;
  button.textContent = done;
  announce(done);
  setTimeout(() => {
    button.textContent = button.dataset.label;
  }, CONFIRMED_FOR);
}
