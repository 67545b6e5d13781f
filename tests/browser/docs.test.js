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

  look('fill only the fields that a query needs', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base);
    await page.goto(`${pitaya.base}/docs#/Traffic/getTraffic`);

    const [request] = await Promise.all([page.waitForRequest(/\/v1\/traffic/), page.locator('button.execute').click()]);

    assert.deepEqual([...new Set(new URL(request.url()).searchParams.keys())], ['sites', 'dates', 'metric', 'bucket']);
    assert.deepEqual(faults, []);
    await close();
  });

  look('explain a problem on a page of the same style', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    await page.goto(`${pitaya.base}/problems/invalid-parameter`);

    assert.ok(!(await page.textContent('main')).includes('`'));
    assert.ok((await page.locator('main code').count()) > 1);
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(19, 16, 22)');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    assert.deepEqual(faults, []);
    await close();
  });

  for (const colorScheme of ['light', 'dark']) {
    look(`fit a phone and follow the ${colorScheme} scheme`, async () => {
      const { page, faults, close } = await openPage(browser, pitaya.base, { viewport: { width: 360, height: 740 }, colorScheme });

      await page.goto(`${pitaya.base}/docs#/Traffic/getTraffic`);
      await page.locator('button.execute').click();
      await page.locator('.live-responses-table .response').first().waitFor();

      const seen = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth,
        html: getComputedStyle(document.documentElement).backgroundColor,
        scheme: getComputedStyle(document.documentElement).colorScheme,
      }));
      assert.equal(seen.width, 360);
      assert.equal(seen.scheme, colorScheme);
      assert.equal(seen.html === 'rgb(28, 32, 34)', colorScheme === 'dark', JSON.stringify(seen));
      assert.deepEqual(faults, []);
      await close();
    });
  }

  look('follow the theme that was chosen on the explorer', async () => {
    const { page, close } = await openPage(browser, pitaya.base, { colorScheme: 'light' });

    await page.goto(pitaya.base);
    await page.evaluate(() => localStorage.setItem('pitaya-theme', 'dark'));
    await page.goto(`${pitaya.base}/docs`);

    assert.ok(await page.evaluate(() => document.documentElement.classList.contains('dark-mode')));
    await page.getByRole('link', { name: 'Explorer' }).click();
    await page.waitForURL(`${pitaya.base}/`);
    await close();
  });
});
