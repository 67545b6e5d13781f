import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';

import { launch, look, openPage, skip, tableRows } from './browser.js';
import { startPitaya } from './pitaya.js';

const KEY = 'pit_browser-tests-only';
const QUERY = '/?sites=750&dates=2026-02-18&metric=entrances&bucket=day';

describe('with authentication', () => {
  let folder;
  let pitaya;
  let browser;

  before(async () => {
    if (skip) return;
    folder = await mkdtemp(join(tmpdir(), 'pitaya-browser-'));
    const file = join(folder, 'pitaya.toml');
    const hash = createHash('sha256').update(KEY).digest('hex');
    await writeFile(file, `auth = "required"\n\n[[clients]]\nname = "browser"\nkey_sha256 = ["${hash}"]\n`);
    pitaya = await startPitaya({ PITAYA_CONFIG: file });
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await pitaya?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  look('the explorer asks for a key, answers with it, and keeps it out of the URL', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base, { expected: [401] });
    await page.goto(pitaya.base + QUERY);
    await page.locator('#key-fault', { hasText: 'wants an API key' }).waitFor();

    await page.fill('#key', 'pit_wrong');
    await page.keyboard.press('Enter');
    await page.locator('#key-fault', { hasText: 'does not take this key' }).waitFor();
    await page.fill('#key', KEY);
    await page.keyboard.press('Enter');
    await page.locator('table.figures').waitFor();

    assert.equal((await tableRows(page)).length, 1);
    assert.equal(page.url(), pitaya.base + QUERY);
    assert.ok(!(await page.locator('#key').isVisible()));
    assert.deepEqual(faults, []);
    await close();
  });

  look('a wrong key replaces the question for one by its own fault', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base, { expected: [401] });
    await page.goto(pitaya.base);
    await page.locator('#banner', { hasText: 'No API key was given' }).waitFor();
    const earlier = await page.textContent('#banner .banner-foot code');

    await page.fill('#key', 'pit_wrong');
    await page.getByRole('button', { name: 'Use this key' }).click();
    await page.locator('#key-fault', { hasText: 'does not take this key' }).waitFor();

    assert.match(await page.textContent('#banner'), /key is not valid/);
    assert.notEqual(await page.textContent('#banner .banner-foot code'), earlier);
    assert.equal(await page.getAttribute('#key', 'aria-invalid'), 'true');
    assert.equal(await page.textContent('#key-state'), 'refused');
    assert.deepEqual(faults, []);
    await close();
  });

  look('the explorer keeps the key for the tab and no longer', async () => {
    const { page, close } = await openPage(browser, pitaya.base, { expected: [401] });
    await page.goto(pitaya.base + QUERY);
    await page.fill('#key', KEY);
    await page.keyboard.press('Enter');
    await page.locator('table.figures').waitFor();

    await page.reload();
    await page.locator('table.figures').waitFor();

    assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes('pit_')), false);
    const another = await page.context().newPage();
    await another.goto(pitaya.base + QUERY);
    await another.locator('#key-fault', { hasText: 'wants an API key' }).waitFor();
    await close();
  });

  look('a taken key ends the question for one, also where no site is known', async () => {
    const { page, close } = await openPage(browser, pitaya.base, { expected: [401] });
    await page.goto(pitaya.base);
    await page.locator('#banner', { hasText: 'Status 401' }).waitFor();
    await page.route('**/v1/sites', (route) => route.fulfill({ json: { data: [] } }));

    await page.fill('#key', KEY);
    await page.keyboard.press('Enter');
    await page.getByText('Run a first query').waitFor();

    assert.ok(!(await page.locator('#banner').isVisible()));
    await close();
  });

  look('the explorer downloads CSV with the key', async () => {
    const { page, close } = await openPage(browser, pitaya.base, { expected: [401] });
    await page.goto(pitaya.base + QUERY);
    await page.fill('#key', KEY);
    await page.keyboard.press('Enter');
    await page.locator('table.figures').waitFor();

    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download-csv')]);

    assert.equal(download.suggestedFilename(), 'pitaya_entrances_2026-02-18_day.csv');
    await close();
  });

  look('the docs try a query out with the key', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base);
    await page.goto(`${pitaya.base}/docs`);
    await page.locator('.auth-wrapper .authorize').click();
    await page.locator('.auth-container input').first().fill(KEY);
    await page.locator('.auth-btn-wrapper .authorize').first().click();
    await page.locator('.btn-done').first().click();

    const query = page.locator('#operations-Traffic-getTraffic');
    await query.locator('.opblock-summary-control').click();
    await query.locator('button.execute').click();

    await query.locator('.live-responses-table tbody .response-col_status', { hasText: '200' }).waitFor();
    assert.match(await query.locator('.live-responses-table').textContent(), /"entrances"/);
    assert.deepEqual(faults, []);
    await close();
  });
});
