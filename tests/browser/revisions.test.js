import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';

import { launch, look, openPage, skip } from './browser.js';
import { startService, startSimulator } from './pitaya.js';

const SITES = 'sites=750,751,752,753';
const DATES = 'dates=2026-02-01..2026-02-28';

describe('figures that the vendor has changed', () => {
  let vendor;
  let pitaya;
  let browser;
  let revisions;

  before(async () => {
    if (skip) return;
    vendor = await startSimulator();
    // Every query asks the vendor again.
    pitaya = await startService({ ...vendor.environment, PITAYA_CACHE__FINAL_TTL: '1s', PITAYA_CACHE__STALE_WHILE_REVALIDATE: '0s' });
    const ask = () => fetch(`${pitaya.base}/v1/traffic?${SITES}&${DATES}&metric=entrances&bucket=day`);
    assert.equal((await ask()).status, 200);
    // What sensors did not send arrives late.
    await fetch(`${vendor.base}/_simulator/quirks`, { method: 'PUT', body: JSON.stringify({ outages: false }) });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assert.equal((await ask()).status, 200);
    revisions = (await (await fetch(`${pitaya.base}/v1/revisions`)).json()).data;
    assert.ok(revisions.length > 0);
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await pitaya?.stop();
    await vendor?.stop();
  });

  const marked = (page) =>
    page.locator('table.figures tbody tr').evaluateAll((rows) =>
      rows.flatMap((row) => {
        const mark = row.querySelector('.is-revised');
        return mark === null ? [] : [`${row.querySelector('th small')?.textContent ?? 'all'} ${row.querySelector('time').dateTime.slice(0, 10)}: ${mark.textContent}`];
      }),
    );

  look('are marked in the table, with the figure of before, and in the chart', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base);
    await page.goto(`${pitaya.base}/?${SITES}&${DATES}&metric=entrances&bucket=day`);
    await page.locator('#revised').waitFor();

    const expected = revisions.map(({ site_id, date, old }) => `${site_id} ${date}: ${old === null ? 'revised: came late' : `revised: was ${old.toLocaleString('en')}`}`);
    assert.deepEqual((await marked(page)).sort(), expected.sort());
    // Sorting keeps the marks.
    await page.getByRole('button', { name: 'Entrances' }).click();
    assert.deepEqual((await marked(page)).sort(), expected.sort());
    assert.deepEqual(faults, []);
    await close();
  });

  look('are counted by days where a row has several', async () => {
    const { page, close } = await openPage(browser, pitaya.base);
    await page.goto(`${pitaya.base}/?${SITES}&${DATES}&metric=conversion_rate,entrances&bucket=month&group_by=none`);
    await page.locator('#revised').waitFor();

    const days = new Set(revisions.map(({ date }) => date)).size;
    assert.deepEqual(await marked(page), [days === 1 ? 'all 2026-02-01: revised' : `all 2026-02-01: revised on ${days} days`]);
    await close();
  });

  look('mark the hours with figures of their day', async () => {
    const { site_id, date } = revisions[0];
    const query = `sites=${site_id}&dates=${date}&metric=entrances&bucket=hour`;
    const { page, close } = await openPage(browser, pitaya.base);
    await page.goto(`${pitaya.base}/?${query}`);
    await page.locator('#revised').waitFor();

    const { data } = await (await fetch(`${pitaya.base}/v1/traffic?${query}`)).json();
    const observed = data.filter(({ entrances }) => entrances !== null);
    assert.ok(observed.length > 0 && observed.length < data.length);
    assert.deepEqual(await marked(page), observed.map(() => `${site_id} ${date}: day revised`));
    await close();
  });

  look('are not marked elsewhere, and a refused feed is no fault', async () => {
    const { page, close } = await openPage(browser, pitaya.base);
    await page.goto(`${pitaya.base}/?${SITES}&dates=2026-01-01..2026-01-31&metric=entrances&bucket=day`);
    await page.locator('table.figures').waitFor();
    await page.waitForLoadState('networkidle');
    assert.ok(!(await page.locator('#revised').isVisible()));
    assert.equal(await page.locator('.is-revised').count(), 0);

    await page.route('**/v1/revisions?*', (route) => route.fulfill({ status: 403, contentType: 'application/problem+json', body: '{}' }));
    await page.goto(`${pitaya.base}/?${SITES}&${DATES}&metric=entrances&bucket=day`);
    await page.locator('table.figures').waitFor();
    await page.waitForLoadState('networkidle');
    assert.equal(await page.locator('.is-revised').count(), 0);
    assert.ok(!(await page.locator('#banner').isVisible()));
    await close();
  });
});
