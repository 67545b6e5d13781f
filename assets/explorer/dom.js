/** The element of that id, which the page is known to have. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element; `properties` are set as DOM properties, or as attributes where their name has a dash or is `role`. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Selects `value`, which becomes an option of its own where it is none: the server says what is wrong with it. */
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
