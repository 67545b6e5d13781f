import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { launch, look, openPage, skip } from './browser.js';
import { startPitaya } from './pitaya.js';

describe('the docs', () => {
  let pitaya;
  let browser;

  before(async () => {
    if (skip) return;
    pitaya = await startPitaya();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await pitaya?.stop();
  });

  look('show the API without asking any other host', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base);

    await page.goto(`${pitaya.base}/docs`);
    await page.getByText('/v1/traffic').first().waitFor();

    assert.deepEqual(faults, []);
    await close();
  });
});
