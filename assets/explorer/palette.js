const COLOURS = 8;
const DASHES = [undefined, [7, 4], [2, 3]];

/** A colour of the theme as the canvas needs it: resolved. */
export function themeColour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Which of the theme's series colours the series at place `at` has. */
export function colourName(at) {
  return `series-${(at % COLOURS) + 1}`;
}

/** How the line at place `at` is dashed: colours come again after a while, dashes tell such lines apart. */
export function dashOf(at) {
  return DASHES[Math.floor(at / COLOURS) % DASHES.length];
}
