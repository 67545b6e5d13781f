const COLOURS = 8;
const DASHES = [undefined, [7, 4], [2, 3]];

/** A colour of the theme, resolved for the canvas. */
export function themeColour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** The class of the theme's series colour for the series at place `at`. */
export function colourName(at) {
  return `series-${(at % COLOURS) + 1}`;
}

/** The dashes of the line at place `at`: colours repeat after a while, and dashes distinguish the lines of one colour. */
export function dashOf(at) {
  return DASHES[Math.floor(at / COLOURS) % DASHES.length];
}
