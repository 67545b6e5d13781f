import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe } from 'node:test';

import { heightsOfEnds, launch, look, openPage, pixelsOfSeries, skip, tableRows } from './browser.js';
import { startPitaya } from './pitaya.js';

const QUERY = 'sites=750,751&dates=2026-02-16..2026-02-18&metric=entrances,dwell_time&bucket=hour&hours=09:00-18:00';

describe('the explorer', () => {
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

  async function open(search, options) {
    const opened = await openPage(browser, pitaya.base, options);
    await opened.page.goto(`${pitaya.base}/${search}`);
    return opened;
  }

  look('a deep link draws the chart and shows the figures of the API', async () => {
    const answer = await (await fetch(`${pitaya.base}/v1/traffic?${QUERY}`)).json();

    const { page, faults, close } = await open(`?${QUERY}`);
    await page.locator('table.figures').waitFor();

    const expected = answer.data.map(({ site_id, time, entrances, dwell_time }) => ({ site_id, time, entrances, dwell_time }));
    assert.deepEqual(await tableRows(page), expected);
    assert.ok(expected.length > 0);
    assert.equal(await page.locator('#charts canvas').count(), 2);
    assert.ok((await pixelsOfSeries(page, 0)) > 50);
    assert.ok((await pixelsOfSeries(page, 1)) > 50);
    assert.deepEqual(faults, []);
    await close();
  });

  look('a deep link fills the form', async () => {
    const { page, close } = await open(`?${QUERY}&group_by=none&fill=zero`);
    await page.locator('table.figures').waitFor();

    assert.equal(await page.inputValue('#dates-from'), '2026-02-16');
    assert.equal(await page.inputValue('#dates-to'), '2026-02-18');
    assert.equal(await page.inputValue('#bucket'), 'hour');
    assert.equal(await page.inputValue('#hours'), '09:00-18:00');
    assert.equal(await page.inputValue('#group_by'), 'none');
    assert.equal(await page.inputValue('#fill'), 'zero');
    assert.deepEqual(await page.locator('#metrics :checked').evaluateAll((boxes) => boxes.map((box) => box.value)), ['entrances', 'dwell_time']);
    await close();
  });

  look('without a query a first one is run and written to the URL', async () => {
    const { page, faults, close } = await open('');

    await page.locator('table.figures').waitFor();

    assert.match(new URL(page.url()).search, /^\?sites=[\d,]+&dates=last_7_days&metric=entrances&bucket=day$/);
    assert.deepEqual(faults, []);
    await close();
  });

  look('bars are drawn if the link requests them', async () => {
    const { page, faults, close } = await open(`?${QUERY}#bar`);
    await page.locator('table.figures').waitFor();

    const bars = await pixelsOfSeries(page, 0);
    await page.getByRole('radio', { name: 'Lines' }).check();
    const lines = await pixelsOfSeries(page, 0);

    assert.ok(bars > lines, `${bars} pixels of bars, ${lines} of lines`);
    assert.ok(!page.url().includes('#'));
    assert.deepEqual(faults, []);
    await close();
  });

  look('every fault is shown at the field it names', async () => {
    const { page, faults, close } = await open('?sites=tyler&dates=2026-13-45&metric=entrences&bucket=fortnight&hours=9-5&colour=red', { expected: [400] });
    await page.locator('#banner').waitFor();

    for (const [field, parameter] of [['#sites-filter', 'sites'], ['#dates-word', 'dates'], ['#bucket', 'bucket'], ['#hours', 'hours']]) {
      assert.equal(await page.getAttribute(field, 'aria-invalid'), 'true', parameter);
      const described = await page.getAttribute(field, 'aria-describedby');
      assert.ok((await page.textContent(`#${described}`)).length > 10, parameter);
    }
    assert.ok(await page.locator('[data-parameter=metric] .fault').isVisible());
    const listed = await page.locator('#banner li > code:first-child').allTextContents();
    assert.deepEqual(listed.sort(), ['bucket', 'colour', 'dates', 'hours', 'metric', 'sites']);
    assert.deepEqual(faults, []);
    await close();
  });

  look('a corrected fault disappears', async () => {
    const { page, close } = await open('?sites=750&dates=2026-02-18&metric=entrances&bucket=fortnight', { expected: [400] });
    await page.locator('[data-parameter=bucket] .fault').waitFor();

    await page.selectOption('#bucket', 'day');
    await page.click('#query button[type=submit]');
    await page.locator('table.figures').waitFor();

    assert.equal(await page.locator('.fault:visible').count(), 0);
    assert.equal(await page.getAttribute('#bucket', 'aria-invalid'), null);
    await close();
  });

  look('a change is a step of the history', async () => {
    const { page, faults, close } = await open('?sites=750&dates=2026-02-18&metric=entrances&bucket=hour');
    await page.locator('#answer-title', { hasText: 'by hour' }).waitFor();

    await page.selectOption('#bucket', 'day');
    await page.click('#query button[type=submit]');
    await page.locator('#answer-title', { hasText: 'by day' }).waitFor();
    assert.equal(new URL(page.url()).search, '?sites=750&dates=2026-02-18&metric=entrances&bucket=day');
    await page.goBack();
    await page.locator('#answer-title', { hasText: 'by hour' }).waitFor();

    assert.equal(await page.inputValue('#bucket'), 'hour');
    assert.deepEqual(faults, []);
    await close();
  });

  look('the keyboard alone chooses a site and runs the query', async () => {
    const { page, close } = await open('?sites=750&dates=2026-02-18&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();

    await page.focus('#sites-filter');
    await page.keyboard.type('752');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/?sites=750,752&**');
    await page.locator('#answer-subtitle', { hasText: '2 sites' }).waitFor();

    assert.deepEqual((await tableRows(page)).map((row) => row.site_id), [750, 752]);
    await close();
  });

  look('the action of the cache is put in words', async () => {
    const { page, close } = await open('?sites=753&dates=2026-02-17&metric=entrances&bucket=day');
    await page.locator('#cache .badge', { hasText: 'Miss' }).waitFor();

    await page.click('#query button[type=submit]');
    await page.locator('#cache .badge', { hasText: 'Unchanged' }).waitFor();
    await page.reload();

    await page.locator('#cache .badge', { hasText: 'Hit' }).waitFor();
    assert.match(await page.textContent('#cache'), /the vendor was not asked/);
    await close();
  });

  look('CSV is downloaded under a descriptive name', async () => {
    const { page, faults, close } = await open(`?${QUERY}`);
    await page.locator('table.figures').waitFor();
    const wanted = await (await fetch(`${pitaya.base}/v1/traffic?${QUERY}&format=csv`)).text();

    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download-csv')]);

    assert.equal(download.suggestedFilename(), 'pitaya_entrances-dwell_time_2026-02-16_2026-02-18_hour.csv');
    assert.equal(await readFile(await download.path(), 'utf8'), wanted);
    assert.deepEqual(faults, []);
    await close();
  });

  look('the copied curl requests the same figures', async () => {
    const { page, close } = await open(`?${QUERY}`, { permissions: ['clipboard-read', 'clipboard-write'] });
    await page.locator('table.figures').waitFor();

    await page.click('#copy-curl');
    await page.locator('#copy-curl', { hasText: 'Copied' }).waitFor();

    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `curl '${pitaya.base}/v1/traffic?${QUERY}'`);
    await close();
  });

  look('a long query shows its progress and can be cancelled', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base);
    // A test can know the progress only of a query held at a known point.
    await page.route('**/v1/traffic?**', () => {});
    await page.route('**/v1/progress/*', (route) => route.fulfill({ json: { reports_done: 3, reports_total: 8 } }));
    await page.goto(`${pitaya.base}/?${QUERY}`);

    await page.getByText('3 of 8 reports').waitFor();
    await page.click('#cancel');

    await page.getByText('Cancelled').waitFor();
    assert.ok(!(await page.locator('#loading').isVisible()));
    assert.deepEqual(faults, []);
    await close();
  });

  look('a new query cancels the previous one', async () => {
    const { page, faults, close } = await openPage(browser, pitaya.base);
    const aborted = page.waitForEvent('requestfailed', (request) => request.url().includes('bucket=hour'));
    await page.route('**/v1/traffic?**bucket=hour&**', () => {});
    await page.goto(`${pitaya.base}/?sites=750&dates=2026-02-18&metric=entrances&bucket=hour`);

    await page.selectOption('#bucket', 'day');
    await page.click('#query button[type=submit]');
    await aborted;
    await page.locator('#answer-title', { hasText: 'by day' }).waitFor();

    assert.ok(!(await page.locator('#loading').isVisible()));
    assert.deepEqual(faults, []);
    await close();
  });

  const views = {
    'a heat map': 'sites=tag:region=South&dates=2026-02-01..2026-02-28&metric=entrances&bucket=hour_of_week&hours=open',
    'a comparison of all sites': 'sites=all&dates=2026-01&compare=previous_year&comparable=true&metric=entrances,walk_bys,conversion_rate&bucket=total#bar',
    'series by tag': 'sites=all&dates=2026-02-16..2026-02-22&metric=entrances,dwell_time&bucket=day&group_by=region',
    'no figures': 'sites=750&dates=9000-01-01&metric=entrances&bucket=day',
    'a fault': 'sites=x&dates=2026-13-45&metric=entrences',
  };
  for (const [name, query] of Object.entries(views)) {
    look(`a phone's width holds ${name}`, async () => {
      const { page, close } = await open(`?${query}`, { viewport: { width: 360, height: 740 }, expected: [400] });
      await page.locator('table.figures, #banner:not([hidden])').first().waitFor();

      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      await close();
    });
  }

  look('three metrics fit beside the form', async () => {
    const { page, close } = await open('?sites=750,751,755&dates=2026-02-16..2026-02-18&metric=entrances,dwell_time,conversion_rate&bucket=hour');
    await page.locator('table.figures').waitFor();

    const [table, frame] = await page.evaluate(() => [document.querySelector('table.figures').offsetWidth, document.querySelector('#table').clientWidth]);

    assert.ok(table <= frame, `${table} px in ${frame} px`);
    await close();
  });

  for (const colorScheme of ['light', 'dark']) {
    look(`a phone's width does not overflow in the ${colorScheme} theme`, async () => {
      const { page, faults, close } = await open(`?${QUERY}`, { viewport: { width: 360, height: 740 }, colorScheme });
      await page.locator('table.figures').waitFor();
      await page.locator('summary', { hasText: 'API key' }).click();

      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      assert.deepEqual(faults, []);
      await close();
    });
  }

  look('a click on a column sorts the rows', async () => {
    const { page, close } = await open('?sites=750,751&dates=2026-02-16..2026-02-18&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();
    const figures = async () => (await tableRows(page)).map((row) => row.entrances);
    const unsorted = await figures();

    await page.getByRole('button', { name: 'Entrances' }).click();
    const descending = await figures();
    await page.getByRole('button', { name: 'Entrances' }).click();

    assert.deepEqual(descending, [...unsorted].sort((a, b) => b - a));
    assert.deepEqual(await figures(), [...descending].reverse());
    assert.equal(await page.getAttribute('thead [data-metric=entrances]', 'aria-sort'), 'ascending');
    await close();
  });

  look('a drag across a chart asks for the dates in between', async () => {
    const { page, faults, close } = await open('?sites=750&dates=2026-02-02..2026-02-28&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();
    const box = await page.locator('#charts .u-over').boundingBox();

    await page.mouse.move(box.x + box.width * 0.25, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
    await page.mouse.up();

    await page.waitForURL((url) => !url.search.includes('dates=2026-02-02..'));
    const [, from, to] = /dates=(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)/.exec(page.url());
    assert.ok('2026-02-06' <= from && from < to && to <= '2026-02-20', `${from} to ${to}`);
    assert.deepEqual(faults, []);
    await close();
  });

  look('only figures that may still change can be refreshed each minute', async () => {
    const { page, close } = await open('?sites=750&dates=today&metric=entrances&bucket=hour');
    await page.locator('table.figures').waitFor();
    const offered = await page.locator('#refresh').isVisible();
    await page.goto(`${pitaya.base}/?sites=750&dates=2026-02-18&metric=entrances&bucket=hour`);
    await page.locator('table.figures').waitFor();

    assert.ok(offered);
    assert.ok(!(await page.locator('#refresh').isVisible()));
    await close();
  });

  look('a comparison shows the earlier period, the changes and the totals', async () => {
    const { page, faults, close } = await open('?sites=750,751&dates=2026-02-16..2026-02-22&compare=previous_week&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();
    const answer = await (await fetch(`${pitaya.base}/v1/traffic?sites=750,751&dates=2026-02-16..2026-02-22&compare=previous_week&metric=entrances&bucket=day&include=totals`)).json();

    assert.equal(await page.inputValue('#compare'), 'previous_week');
    assert.match(await page.textContent('#answer-subtitle'), /compared with 2026-02-09 to 2026-02-15/);
    assert.match(await page.textContent('#provisional'), /Dotted: 2026-02-09 to 2026-02-15/);
    assert.equal(await page.locator('table.figures [data-change]').count(), answer.data.filter((row) => row.change.entrances !== null).length);
    const total = (await page.textContent('#totals dd')).replaceAll(',', '');
    assert.ok(total.startsWith(String(answer.grand_total.entrances)), total);
    assert.deepEqual(faults, []);
    await close();
  });

  look('a change since a day that was observed only in part is marked', async () => {
    // The sensor of this site is silent from noon each Wednesday.
    const { page, faults, close } = await open('?sites=750,755&dates=2026-02-19&compare=previous_period&metric=entrances&bucket=day');
    await page.locator('.mark', { hasText: 'observed before' }).waitFor();

    const marks = await page.locator('table.figures tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('.mark')].map((mark) => mark.textContent)));
    assert.deepEqual(marks, [[], ['25% observed before']]);
    assert.deepEqual(faults, []);
    await close();
  });

  look('bars show the earlier period beside each bar', async () => {
    const query = 'sites=750&dates=2026-02-16..2026-02-22&compare=previous_week&metric=entrances&bucket=total';
    const { data } = await (await fetch(`${pitaya.base}/v1/traffic?${query}`)).json();
    const { page, faults, close } = await open(`?${query}`);
    await page.locator('table.figures').waitFor();

    assert.equal(await page.textContent('#provisional'), 'Outlined: 2026-02-09 to 2026-02-15.');
    assert.equal(await page.locator('table.figures time').textContent(), '2026-02-16 to 2026-02-22');
    const heights = await heightsOfEnds(page);
    const ratio = data[0].previous.entrances / data[0].entrances;
    assert.ok(Math.abs(heights.first / heights.last - ratio) < 0.03, `${JSON.stringify(heights)}, expected ${ratio}`);
    assert.deepEqual(faults, []);
    await close();
  });

  look('every series has a colour or stripes of its own', async () => {
    const { page, close } = await open('?sites=all&dates=2026-02-16..2026-02-17&metric=entrances&bucket=day#bar');
    await page.locator('table.figures').waitFor();

    const swatches = await page.locator('#legend button').evaluateAll((buttons) =>
      buttons.map((button) => {
        const { borderColor, backgroundImage } = getComputedStyle(button, '::before');
        return `${borderColor} ${backgroundImage}`;
      }),
    );

    assert.ok(swatches.length > 8);
    assert.equal(new Set(swatches).size, swatches.length);
    await close();
  });

  look('dates that have not begun are named, and no chart is drawn', async () => {
    const { page, faults, close } = await open('?sites=750&dates=9000-01-01..9000-01-03&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();

    assert.match(await page.textContent('#charts'), /have not begun/);
    assert.equal(await page.locator('#charts canvas').count(), 0);
    assert.deepEqual(faults, []);
    await close();
  });

  look('codes, tags and names become what the API takes', async () => {
    const { page, faults, close } = await open('?sites=752&dates=2026-02-18&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();
    await page.locator('#sites-list li').nth(5).waitFor();

    for (const typed of ['t-0412', 'region=South', 'Austin Domain', 'T-0441, Zürich']) {
      await page.fill('#sites-filter', typed);
      await page.press('#sites-filter', 'Enter');
    }
    await page.click('#query button[type=submit]');

    await page.waitForURL('**/?sites=752,code:T-0412,tag:region%3DSouth,751,code:T-0441,758&**');
    await page.locator('#answer-subtitle', { hasText: '5 sites' }).waitFor();
    assert.equal(await page.textContent('#sites-count'), '5 sites');
    assert.deepEqual(faults, []);
    await close();
  });

  look('a typed text without a meaning is kept, marked and not asked for', async () => {
    const { page, close } = await open('?sites=750&dates=2026-02-18&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();
    const before = page.url();

    await page.fill('#sites-filter', 'Atlantis');
    await page.click('#query button[type=submit]');

    assert.match(await page.textContent('#sites-hint'), /code:T-0412/);
    assert.equal(await page.getAttribute('#sites-filter', 'aria-invalid'), 'true');
    assert.equal(await page.inputValue('#sites-filter'), 'Atlantis');
    assert.equal(page.url(), before);
    await close();
  });

  look('sites are found by their code, and words are counted as sites', async () => {
    const { page, close } = await open('?sites=all,-tag:region%3DSouth&dates=2026-02-18&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();

    await page.locator('#sites-count', { hasText: '11 sites' }).waitFor();
    await page.fill('#sites-filter', 'T-0412');

    assert.deepEqual(await page.locator('#sites-list input').evaluateAll((boxes) => boxes.map((box) => box.value)), ['750']);
    await close();
  });

  look('the list of sites is one stop of the Tab key', async () => {
    const { page, close } = await open('?sites=750&dates=2026-02-18&metric=entrances&bucket=day');
    await page.locator('#sites-list li').nth(5).waitFor();
    const boxes = page.locator('#sites-list input');

    await boxes.first().focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    await page.keyboard.press('End');
    assert.ok(await boxes.last().evaluate((box) => box === document.activeElement));
    assert.ok(await boxes.nth(1).isChecked());
    assert.equal(await page.locator('#sites-list input[tabindex="0"]').count(), 1);
    await page.keyboard.press('Tab');

    assert.equal(await page.evaluate(() => document.activeElement.id), 'dates-word');
    await close();
  });

  look('a comparison can leave out the sites that were not open in both periods', async () => {
    const { page, faults, close } = await open('?sites=754,762&dates=last_month&metric=entrances&bucket=total');
    await page.locator('table.figures').waitFor();
    assert.ok(await page.locator('#comparable').isDisabled());

    await page.selectOption('#compare', 'previous_year');
    await page.getByLabel('Only sites that were open in both periods').check();
    await page.click('#query button[type=submit]');
    await page.locator('.notice', { hasText: 'Chicago Loop (762), opened later' }).waitFor();

    assert.equal(new URL(page.url()).search, '?sites=754,762&dates=last_month&compare=previous_year&comparable=true&metric=entrances&bucket=total');
    assert.deepEqual((await tableRows(page)).map((row) => row.site_id), [754]);
    await page.reload();
    await page.locator('.notice', { hasText: 'Chicago Loop (762), opened later' }).waitFor();
    assert.ok(await page.isChecked('#comparable'));
    await page.selectOption('#compare', '');
    await page.click('#query button[type=submit]');
    await page.waitForURL('**/?sites=754,762&dates=last_month&metric=entrances&bucket=total');
    assert.deepEqual(faults, []);
    await close();
  });

  look('low coverage is hatched and explained by a picture', async () => {
    const { page, faults, close } = await open('?sites=755&dates=2026-02-16..2026-02-22&metric=entrances&bucket=day');
    await page.locator('table.figures').waitFor();
    assert.match(await page.textContent('#partial-coverage'), /^Hatched/);

    await page.locator('#coverage-help summary').click();
    const picture = page.locator('#coverage-help img');

    await page.waitForFunction(() => document.querySelector('#coverage-help img').naturalWidth > 0);
    assert.match(await picture.getAttribute('alt'), /3 of 12 expected hours: 0\.25/);
    await page.goto(`${pitaya.base}/?sites=750&dates=2026-02-18&metric=entrances&bucket=day`);
    await page.locator('table.figures').waitFor();
    assert.ok(!(await page.locator('#coverage-help').isVisible()));
    assert.deepEqual(faults, []);
    await close();
  });

  look('the busiest hours are a map of weekdays and hours', async () => {
    const { page, faults, close } = await open('?sites=750&dates=2026-02-02..2026-02-15&metric=entrances&bucket=hour_of_week');
    await page.locator('table.figures').waitFor();

    assert.equal(await page.locator('.heat tbody td').count(), 7 * 24);
    assert.match(await page.textContent('.heat-frame'), /Most at (Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d:00/);
    assert.ok(!(await page.locator('#chart-kind').isVisible()));
    assert.deepEqual(faults, []);
    await close();
  });

  look('a chosen theme is remembered', async () => {
    const { page, close } = await open('', { colorScheme: 'light' });

    await page.click('#theme');
    await page.click('#theme');
    await page.reload();

    assert.equal(await page.textContent('#theme'), 'Theme: dark');
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
    await close();
  });
});
