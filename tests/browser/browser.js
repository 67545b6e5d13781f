// A real, headless Chromium with every request recorded.

import { existsSync } from 'node:fs';
import { test as nodeTest } from 'node:test';
import { chromium } from 'playwright-core';

// The shell comes first: a whole browser without a screen may stop drawing a window, and then no click ever finds its target at rest.
const PLACES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'].map((name) => `/usr/bin/${name}`);
const EXECUTABLE = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  // No name resolves to another host.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

// Swagger UI takes seconds of a free processor to show our document, and many more beside other work. A wait ends when what it waits for is there.
const PATIENCE_MS = 120_000;

/** The reason to skip tests with a browser, or `false`. */
export const skip = EXECUTABLE ? false : 'no Chromium is installed (apt-get install chromium-headless-shell, or set CHROMIUM)';
if (skip) console.error(`SKIPPING every test that needs a browser: ${skip}`);

/** A test that needs the browser; without one it is skipped and counted as such. */
export function look(name, test) {
  return nodeTest(name, { skip }, test);
}

/** The browser. */
export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
}

/**
 * A page and its faults: requests to other hosts, console errors, exceptions.
 * `expected` holds the error statuses that the test provokes; the browser logs each as an error.
 */
export async function openPage(browser, base, { expected = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const faults = [];
  const logged = expected.map((status) => `status of ${status}`);
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (['http:', 'https:', 'ws:', 'wss:'].includes(url.protocol) && url.origin !== base) faults.push(`foreign request: ${url}`);
  });
  page.on('console', (message) => {
    // An answered query has no progress, but the page may have requested it just before.
    const tooLate = message.location().url.includes('/v1/progress/');
    if (message.type() === 'error' && !tooLate && !logged.some((text) => message.text().includes(text))) faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  return { page, faults, close: () => context.close() };
}

/** The rows of the explorer's table, in the format of the API. */
export function tableRows(page) {
  return page.locator('table.figures').evaluate((table) => {
    const metrics = [...table.querySelectorAll('thead [data-metric]')].map((cell) => cell.dataset.metric);
    return [...table.tBodies[0].rows].map((line) => {
      const figures = [...line.querySelectorAll('.number')].map(({ textContent: text }) => (text === '–' ? null : Number(text)));
      return {
        site_id: Number(line.querySelector('th small').textContent),
        time: line.querySelector('time').dateTime,
        ...Object.fromEntries(metrics.map((name, at) => [name, figures[at]])),
      };
    });
  });
}

/** Number of pixels of the first chart in the colour of series `at`. */
export function pixelsOfSeries(page, at) {
  return page.evaluate((place) => {
    const swatch = document.querySelectorAll('#legend button')[place];
    const wanted = getComputedStyle(swatch, '::before').backgroundColor.match(/\d+/g).map(Number);
    const canvas = document.querySelector('#charts canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let pixel = 0; pixel < data.length; pixel += 4) {
      if (wanted.every((channel, which) => data[pixel + which] === channel) && data[pixel + 3] === 255) found += 1;
    }
    return found;
  }, at);
}

/** The heights in pixels of the first and the last column of the first chart with the colour of its first series. */
export function heightsOfEnds(page) {
  return page.evaluate(() => {
    const swatch = document.querySelector('#legend button');
    const wanted = getComputedStyle(swatch, '::before').backgroundColor.match(/\d+/g).map(Number);
    const canvas = document.querySelector('#charts canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const isWanted = (x, y) => wanted.every((channel, which) => data[4 * (y * canvas.width + x) + which] === channel);
    const columns = Array.from({ length: canvas.width }, (_, x) =>
      Array.from({ length: canvas.height }, (_, y) => y).filter((y) => isWanted(x, y)),
    ).filter((rows) => rows.length > 0);
    const [first, last] = [columns[0], columns.at(-1)].map((rows) => rows.at(-1) - rows[0] + 1);
    return { first, last };
  });
}
