const COLOURS = 8;
const DASHES = [undefined, [7, 4], [2, 3]];
const TILE = 8;
const FAINT = 0.3;

/** A colour of the theme, resolved for the canvas. */
export function themeColour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** The name of the theme's colour for the series at place `at`. */
export function colourName(at) {
  return `series-${(at % COLOURS) + 1}`;
}

/** The classes of an element with the colour and stripes of the series at place `at`. */
export function keyClass(at) {
  return `key ${colourName(at)} stripes-${roundOf(at)}`;
}

/** The dashes of the line at place `at`: colours repeat after a while, and dashes distinguish the lines of one colour. */
export function dashOf(at) {
  return DASHES[roundOf(at)];
}

/** The fill of the bars at place `at`: stripes distinguish the bars of one colour, as dashes do lines. */
export function barFill(at, isFaint) {
  const colour = themeColour(colourName(at));
  const round = roundOf(at);
  if (round === 0 && !isFaint) return colour;

  const size = TILE * devicePixelRatio;
  const tile = Object.assign(document.createElement('canvas'), { width: size, height: size });
  const ctx = tile.getContext('2d');
  ctx.globalAlpha = isFaint ? FAINT : 1;
  ctx.fillStyle = ctx.strokeStyle = colour;
  ctx.lineWidth = size / 3;
  if (round === 1) {
    for (const x of [-size, 0, size]) {
      ctx.moveTo(x - 1, size + 1);
      ctx.lineTo(x + size + 1, -1);
    }
    ctx.stroke();
  } else {
    ctx.fillRect(0, 0, size, round === 0 ? size : size / 2);
  }
  return ctx.createPattern(tile, 'repeat');
}

function roundOf(at) {
  return Math.floor(at / COLOURS) % DASHES.length;
}
