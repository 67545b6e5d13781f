/** The element with that id, which the page always contains. */
export function byId(id) {
  return document.getElementById(id);
}

/** Creates an element; `properties` become DOM properties, or attributes if their name has a dash or is `role`. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** A text of the API, whose backticks mark code, as nodes. */
export function withCode(text) {
  return text.split('`').map((part, at) => (at % 2 === 0 ? part : make('code', { textContent: part })));
}

/** Selects `value`, and adds an unknown one as an option, so that the server reports its fault. */
export function select(control, value) {
  for (const option of control.querySelectorAll('[data-foreign]')) option.remove();
  if (![...control.options].some((option) => option.value === value)) {
    control.append(make('option', { value, textContent: value, 'data-foreign': '' }));
  }
  control.value = value;
}

/** Fills a `<select>` with `[value, label]` pairs. */
export function fillOptions(control, options) {
  control.replaceChildren(...options.map(([value, textContent]) => make('option', { value, textContent })));
}
