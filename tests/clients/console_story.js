// The console in a real browser: the demo's data, a search, an index that is built, errors at their
// place, plans, charts, both themes, a phone, and a role that only reads.
//
// NEARLAKE_SCREENSHOTS names a folder that gets a picture of each view.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { chromium } = require('playwright-core');

const URL = process.env.NEARLAKE_HTTP;
const PICTURES = process.env.NEARLAKE_SCREENSHOTS;
const PACKAGES = path.join(__dirname, '../../sql/examples/data/packages.csv');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const [DESKTOP, PHONE] = [{ width: 1280, height: 800 }, { width: 390, height: 844 }];
const LIMIT = 60_000;
/** all-MiniLM-L6-v2, which made the vectors of the packages. */
const MODEL = process.env.NEARLAKE_MODEL ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'nearlake/models/all-MiniLM-L6-v2');
const MARKUP = '<img src=x onerror=alert(1)>';

/** Statements over the other wire, before the console looks. */
function psql(...statements) {
  execFileSync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...statements.flatMap((statement) => ['-c', statement])], { stdio: 'pipe' });
}

/** A page, and all that went wrong in it: a view must not fill the console of the browser. */
async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, colorScheme: 'light', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (message) => {
    // Chromium writes a line for each answer that is no success; those are what a test makes on purpose.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) page.faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${URL}/`) && !request.url().startsWith('data:')) page.faults.push(`asked ${request.url()}`);
  });
  return page;
}

async function picture(page, name) {
  if (PICTURES) await page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
}

/** Whether the page itself can be moved sideways. */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function go(page, view) {
  await page.click(`#nav a[href="#${view}"]`);
  await page.waitForSelector(`#nav a[href="#${view}"][aria-current=page]`);
}

async function run(page, sql) {
  await page.fill('#sql', sql);
  await page.press('#sql', 'Control+Enter');
  await page.waitForSelector('.results:not([aria-busy])');
}

async function statements(page) {
  await run(page, "SELECT id, name, NULL AS nothing, installed_size > 5000 AS big, embedding FROM package ORDER BY id LIMIT 3; SELECT 'two' AS second");
  assert.equal(await page.locator('.result').count(), 2);
  assert.match(await page.textContent('.result'), /SELECT 3/);
  assert.deepEqual(await page.locator('.result >> nth=0 >> th .type').allTextContents(), ['bigint', 'text', 'text', 'boolean', 'vector(384)']);
  assert.equal(await page.locator('.null').count(), 3);
  // A vector is short until it is opened.
  const vector = page.locator('.fold').first();
  assert.match(await vector.textContent(), /… 384\]$/);
  await vector.click();
  assert.equal((await page.locator('.fold[aria-expanded=true]').textContent()).split(',').length, 384);
  await picture(page, 'query');

  // More rows than are drawn, and more than are sent.
  await run(page, 'SELECT id FROM package');
  assert.match(await page.textContent('.result-head'), /SELECT 500.*first 500 rows; there are more/);
  assert.equal(await page.locator('tbody tr').count(), 200);
  await page.click('.more button');
  assert.equal(await page.locator('tbody tr').count(), 400);

  // Arrows at the edges bring back what was run.
  await page.press('#sql', 'Control+ArrowUp');
  await page.press('#sql', 'Control+ArrowUp');
  assert.match(await page.inputValue('#sql'), /second/);
}

async function errors(page) {
  await run(page, 'SELECT 1;\nSELECT name, emebdding FROM package');
  await page.waitForSelector('.problem');
  const said = await page.textContent('.problem');
  assert.match(said, /column "emebdding" does not exist/);
  assert.match(said, /42703/);
  assert.match(said, /line 2, column 14/);
  assert.match(said, /Hint: .*embedding/);
  assert.equal(await page.textContent('.editor mark'), 'emebdding');
  assert.equal(await page.evaluate(() => document.activeElement.selectionStart), 23);
  await picture(page, 'error');

  // Esc cancels on the server too.
  await page.fill('#sql', 'SELECT pg_sleep(60)');
  await page.press('#sql', 'Control+Enter');
  await page.waitForSelector('.results[aria-busy]');
  await page.waitForTimeout(300);
  await page.press('#sql', 'Escape');
  await page.waitForSelector('.problem:has-text("Stopped")');
  const deadline = Date.now() + 10_000;
  for (;;) {
    await run(page, "SELECT count(*) AS left FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'");
    if ((await page.textContent('tbody td')) === '0') break;
    assert.ok(Date.now() < deadline, 'the statement goes on though its client is gone');
  }
}

async function builds(page, browser) {
  // A second page looks on while the first one builds.
  const watcher = await open(browser);
  await watcher.goto(`${URL}/#tables`);
  await watcher.waitForSelector('.table >> text=package');
  await watcher.evaluate(() => {
    const look = () => {
      const bar = document.querySelector('[role=progressbar]');
      if (bar) window.seen.push(Number(bar.getAttribute('aria-valuenow')));
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  // As many rows as it takes for the bar to be seen at three places: builds are fast, and machines differ. Those of a
  // table that was too small are rightly not seen, and so prove nothing.
  for (let copies = 8; ; copies *= 2) {
    psql('DROP TABLE IF EXISTS copies',
      `CREATE TABLE copies AS SELECT id + 1000000 * copy AS id, embedding FROM package, generate_series(1, ${copies}) AS copy`);
    await watcher.evaluate(() => { window.seen = []; });
    await page.fill('#sql', `SET maintenance_work_mem = '32MB'; SET max_parallel_maintenance_workers = 0;
CREATE INDEX copies_embedding ON copies USING spfresh (embedding vector_cosine_ops)`);
    await page.press('#sql', 'Control+Enter');
    const shot = watcher.waitForSelector('[role=progressbar]').then(() => picture(watcher, 'build')).catch(() => {});
    await page.waitForSelector('.results:not([aria-busy]) .result:has-text("CREATE INDEX")');
    await watcher.waitForFunction(() => !document.querySelector('[role=progressbar]'));
    const values = await watcher.evaluate(() => window.seen);
    const places = [...new Set(values)];
    assert.deepEqual(values, values.toSorted((a, b) => a - b), 'the bar never goes back');
    if (places.length >= 3) {
      await shot;
      break;
    }
    assert.ok(copies < 128, `the bar moves: ${places}`);
  }

  await run(page, 'DROP TABLE copies; CREATE INDEX package_embedding ON package USING spfresh (embedding vector_cosine_ops)');
  const table = watcher.locator('.table', { hasText: 'package' });
  await table.locator('text=vector index').waitFor();
  await table.locator('summary').click();
  await watcher.waitForSelector('.indexes >> text=package_embedding');
  assert.match(await table.textContent(), /3,040 rows/);
  await picture(watcher, 'tables');
  assert.deepEqual(watcher.faults, []);
  await watcher.context().close();
}

async function plans(page) {
  await page.fill('#sql', "SELECT name FROM package ORDER BY embedding <=> (SELECT embedding FROM package WHERE name = 'htop') LIMIT 5;");
  await page.click('button:has-text("Explain")');
  await page.waitForSelector('.tree .node.nearest');
  await page.click('button:has-text("Analyze")');
  await page.waitForSelector('.node-rows');
  assert.match(await page.textContent('.plan'), /planned in .* ran .* 5 rows/);
  await picture(page, 'plan');
  // A position within the statement, not within EXPLAIN.
  await page.fill('#sql', 'SELECT nope FROM package');
  await page.click('button:has-text("Explain")');
  await page.waitForSelector('.problem');
  assert.equal(await page.textContent('.editor mark'), 'nope');
}

async function search(page) {
  await go(page, 'search');
  await page.fill('#search-row', 'htop');
  await page.click('[role=option] >> nth=0');
  await page.waitForSelector('.hit');
  assert.equal(await page.locator('.hit').count(), 10);
  const near = await page.locator('.hit-label').allTextContents();
  assert.ok(!near.includes('htop') && near.some((name) => /top/.test(name)), near.join());
  await picture(page, 'search');

  await page.fill('#search-filter', "section = 'python'");
  await page.press('#search-filter', 'Enter');
  await page.waitForFunction(() => [...document.querySelectorAll('.hit-fields')].every((fields) => /sectionpython/.test(fields.textContent)));
  await page.fill('#search-filter', 'nothing = 1');
  await page.press('#search-filter', 'Enter');
  await page.waitForSelector('.problem:has-text("nothing")');
  await page.fill('#search-filter', '');
  await page.press('#search-filter', 'Enter');
  await page.waitForSelector('.hit');
  await page.click('.like >> nth=1');
  await page.waitForFunction((name) => document.querySelector('#search-row').value === name, near[1]);

  // What was searched, as a statement that runs by itself.
  await page.click('button:has-text("Open as SQL")');
  await page.press('#sql', 'Control+Enter');
  await page.waitForSelector('.result:has-text("SELECT 10")');

  await go(page, 'search');
  await page.check('input[value=vector]');
  await page.fill('#search-vector', `[${Array.from({ length: 384 }, (_, i) => (i % 7) - 3)}]`);
  await page.click('.primary:has-text("Search")');
  await page.waitForSelector('.hit');
  await page.fill('#search-vector', '[1,2]');
  await page.click('.primary:has-text("Search")');
  await page.waitForSelector('.problem:has-text("dimensions")');

  // By a text, once there is a model.
  await page.check('input[value=text]');
  await page.waitForSelector('.note:has-text("No model")');
  psql(`CREATE EMBEDDING MODEL minilm WITH (path = '${MODEL}')`);
  await page.reload();
  await page.check('input[value=text]');
  const asked = "a program to edit photos; it's worth $& and $1::";
  await page.fill('#search-text', asked);
  await page.press('#search-text', 'Enter');
  await page.waitForSelector('.hit');
  assert.match((await page.locator('.hit').allTextContents()).join(), /photo|image/i);
  await picture(page, 'search-text');
  await page.click('button:has-text("Open as SQL")');
  assert.ok((await page.inputValue('#sql')).includes(`embed('${asked.replace("'", "''")}'::text, 'minilm')`), await page.inputValue('#sql'));
  await page.press('#sql', 'Control+Enter');
  await page.waitForSelector('.result:has-text("SELECT 10")');
}

/** An endpoint on this machine that keeps what comes; its address, and what came. */
async function receiver() {
  const came = [];
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      came.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
      response.writeHead(204).end();
    });
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { url: `http://127.0.0.1:${server.address().port}/hooks`, came, close: () => server.close() };
}

/** What a request is signed with by the Standard Webhooks scheme. */
function signature({ headers, body }, secret) {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  return `v1,${crypto.createHmac('sha256', key).update(signed).digest('base64')}`;
}

/** A webhook made in the page, whose endpoint is there; one whose events are given up at once and one whose events wait, since their
    names lead nowhere. */
async function webhooks(page) {
  await go(page, 'webhooks');
  await page.waitForSelector('.empty:has-text("No webhooks yet")');
  const card = (name) => page.locator('.webhook', { has: page.locator(`header strong:text-is("${name}")`) });
  const row = (name, state, type) => page.locator('[aria-label=Deliveries] tbody tr', { hasText: name }).filter({ hasText: state }).filter({ hasText: type });

  const endpoint = await receiver();
  await go(page, 'query');
  await run(page, `CREATE WEBHOOK arrives ON package WHEN (update) WHERE section = 'admin' TO '${endpoint.url}'`);
  const secret = await page.textContent('tbody td');
  assert.match(secret, /^whsec_/);
  await run(page, "UPDATE package SET section = 'admin' WHERE name IN ('htop', 'gimp')");
  await page.waitForSelector('.result:has-text("UPDATE 2")');
  await go(page, 'webhooks');
  await card('arrives').locator('.figure:has-text("delivered 1")').waitFor();
  assert.match(await card('arrives').textContent(), /enabled.*waiting 0.*failed 0.*last delivered \d{4}/s);
  await row('arrives', 'delivered', 'update').waitFor();
  assert.match(await row('arrives', 'delivered', 'update').textContent(), /204/);
  assert.equal(endpoint.came.length, 1);
  const [letter] = endpoint.came;
  assert.deepEqual(JSON.parse(letter.body).rows.map(({ new: { name } }) => name).toSorted(), ['gimp', 'htop']);
  assert.equal(letter.headers['webhook-signature'], signature(letter, secret));
  endpoint.close();

  psql(`CREATE WEBHOOK gone ON package WHEN (insert, update) WHERE section <> '${MARKUP}' TO 'https://gone.invalid/hooks/packages?key=1'
      WITH (attempts_max = 1, pause_after = 0, timeout = '1s')`,
  "CREATE WEBHOOK waiting ON DATABASE WHEN (ddl) TO 'https://waiting.invalid/hooks' WITH (backoff_min = '1h', backoff_max = '1h', timeout = '1s')",
  'ALTER WEBHOOK gone TEST', 'ALTER WEBHOOK waiting TEST');
  await card('gone').locator('.figure.low:has-text("dead 1")').waitFor();
  assert.match(await card('gone').textContent(), /enabled.*on public\.package.*https:\/\/gone\.invalid\/hooks\/packages\?key=1.*<img src=x.*last error: /s);
  await card('waiting').locator('.figure:has-text("waiting 1")').waitFor();
  assert.match(await card('waiting').textContent(), /on the database · ddl/);
  await row('gone', 'dead', 'test').waitFor();
  await row('waiting', 'pending', 'test').waitFor();
  const wide = await page.$$eval('td', (cells) => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent));
  assert.deepEqual(wide, [], 'no value lies over its neighbour');
  await picture(page, 'webhooks');
}

/** Names and values that look like markup are shown as they are. */
async function markup(page) {
  await go(page, 'query');
  await run(page, `SELECT * FROM "${MARKUP}"; SELECT '${MARKUP}' AS "${MARKUP}"`);
  assert.equal(await page.locator('td', { hasText: MARKUP }).count(), 2);
  await run(page, `SELECT "${MARKUP} is not there"`);
  await page.waitForSelector('.problem');
  await go(page, 'tables');
  const table = page.locator('.table', { hasText: MARKUP });
  await table.locator('summary').click();
  await table.locator('.table-body p', { hasText: MARKUP }).waitFor();
  await go(page, 'statements');
  await page.locator('.statement', { hasText: MARKUP }).first().waitFor();
  assert.equal(await page.locator('main img').count(), 0);
  await go(page, 'query');
}

async function activity(page) {
  await go(page, 'activity');
  await page.waitForFunction(() => document.querySelectorAll('.chart .series').length >= 4);
  assert.match(await page.textContent('.tiles'), /Statements.*Connections.*Memory/);
  await page.waitForSelector('.gauges >> text=package_embedding');
  // In memory and on a folder there are no ranges: the cache of columns is shown.
  await page.waitForSelector('.tile:has-text("of columns from memory") >> text=/^\\d+ %$/');
  await page.waitForSelector('.chart-card:has-text("Columns read")');
  assert.equal(await page.locator('.chart-card:has-text("Reads by cache tier")').isVisible(), false);
  // On a bucket there are, which this server has none of.
  const ranges = [['memory', 2], ['disk', 1], ['store', 1]].map(([tier, reads]) => `nearlake_cache_reads_total{tier="${tier}"} ${reads}\n`);
  await page.route('**/metrics', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()) + ranges.join('') });
  });
  await page.waitForSelector('.tile:has-text("of reads without the store") >> text="75 %"');
  assert.equal(await page.locator('.chart-card:has-text("Reads by cache tier")').isVisible(), true);
  assert.equal(await page.locator('.chart-card:has-text("Columns read")').isVisible(), false);
  await page.unroute('**/metrics');
  await page.waitForTimeout(4000);
  await picture(page, 'activity');

  await go(page, 'statements');
  const slept = page.locator('.statement', { hasText: 'SELECT pg_sleep($1)' });
  await slept.waitFor();
  await picture(page, 'statements');
  await page.selectOption('#order', 'errors');
  await page.locator('.statement', { hasText: 'errors' }).first().waitFor();
}

async function themes(page) {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await ground();
  assert.notEqual(light, dark);
  await page.click('button[aria-label="Use the light theme"]');
  assert.equal(await ground(), light);
  await page.reload();
  assert.equal(await ground(), light, 'the choice is kept');
  await page.click('button[aria-label="Use the dark theme"]');
  assert.equal(await ground(), dark);
  for (const view of ['query', 'search', 'tables', 'activity', 'statements', 'webhooks']) {
    await go(page, view);
    await page.waitForTimeout(PICTURES ? 2500 : 0);
    if (view === 'query') await run(page, "SELECT id, name, NULL AS nothing, embedding FROM package WHERE section = 'games' ORDER BY id LIMIT 12");
    await picture(page, `${view}-dark`);
  }
}

/** Keys alone: from the top of the page to a result. */
async function keyboard(page) {
  await page.goto(`${URL}/#statements`);
  await page.reload();
  await page.waitForSelector('#nav a[aria-current]');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.hash), '#query');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid', 'where one is can be seen');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'sql');
}

async function phone(browser) {
  const page = await open(browser, { viewport: PHONE, hasTouch: true, isMobile: true });
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(URL);
    await run(page, 'SELECT * FROM package LIMIT 20');
    await page.waitForSelector('tbody tr');
    await picture(page, `phone-query-${scheme}`);
    assert.equal(await overflow(page), 0, 'query');
    await run(page, 'SELECT * FROM nowhere');
    assert.equal(await overflow(page), 0, 'an error');
    for (const [view, there] of [['search', '#search-row'], ['tables', '.table'], ['activity', '.tile'], ['statements', '.statement'], ['webhooks', '.webhook']]) {
      await go(page, view);
      await page.waitForSelector(there);
      if (view === 'search') {
        await page.fill('#search-row', 'gimp');
        await page.tap('[role=option] >> nth=0');
        await page.waitForSelector('.hit');
      }
      if (view === 'tables') {
        await page.click('.table summary');
        await page.waitForSelector('.columns');
      }
      await page.waitForTimeout(PICTURES ? 2500 : 100);
      await picture(page, `phone-${view}-${scheme}`);
      assert.equal(await overflow(page), 0, view);
    }
  }
  assert.deepEqual(page.faults, []);
  await page.context().close();
}

/** With a password the page asks for it; a role that only reads sees all that it may. */
async function readers(browser) {
  psql("CREATE ROLE reader LOGIN PASSWORD 'look'", 'GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO reader', 'ALTER ROLE reader SET default_transaction_read_only = on', "ALTER ROLE postgres PASSWORD 'sesame'");
  const page = await open(browser);
  const refused = [];
  page.on('response', (response) => response.status() >= 400 && refused.push(`${response.status()} ${response.url()}`));
  await page.goto(URL);
  await page.waitForSelector('dialog.login[open]');
  await page.waitForTimeout(3000);
  await picture(page, 'login');
  assert.equal(await page.locator('dialog').count(), 1);
  assert.ok(refused.length <= 6, `asked again and again: ${refused}`);
  await page.fill('#login-name', 'reader');
  await page.fill('#login-secret', 'wrong');
  await page.press('#login-secret', 'Enter');
  await page.waitForSelector('dialog.login >> text=not right');
  await page.fill('#login-name', 'reader');
  await page.fill('#login-secret', 'look');
  await page.press('#login-secret', 'Enter');
  await page.waitForSelector('.role:has-text("reader") >> text=read-only');
  refused.length = 0;

  await run(page, 'SELECT count(*) FROM package');
  assert.match(await page.textContent('tbody td'), /^\d{4,5}$/);
  await go(page, 'search');
  await page.fill('#search-row', 'gimp');
  await page.click('[role=option] >> nth=0');
  await page.waitForSelector('.hit');
  for (const [view, there] of [['tables', '.table'], ['activity', '.tile'], ['statements', '.statement'], ['webhooks', '.webhook']]) {
    await go(page, view);
    await page.waitForSelector(there);
  }
  await go(page, 'statements');
  await page.waitForSelector('.statement');
  assert.ok((await page.textContent('.list')).includes('<insufficient privilege>'));
  await page.waitForTimeout(2500);
  assert.deepEqual(refused, [], 'no view asks what a reader may not');

  await go(page, 'query');
  await run(page, "INSERT INTO package (id, name) VALUES (-1, 'x')");
  assert.match(await page.textContent('.problem'), /25006/);
  assert.equal(await page.evaluate(() => Object.keys(localStorage).some((key) => /token/.test(key))), false);
  await page.click('button:has-text("Log out")');
  await page.waitForSelector('dialog.login[open]');
  assert.deepEqual(page.faults, []);
  await page.context().close();
}

async function main() {
  psql('CREATE EXTENSION IF NOT EXISTS vector',
    'CREATE TABLE package (id bigint PRIMARY KEY, name text NOT NULL, section text, installed_size bigint, short text, embedding vector(384))',
    `\\copy package FROM '${PACKAGES}' (FORMAT csv, HEADER)`,
    // Rows in segments: their columns are read.
    'CHECKPOINT',
    // What is in a database is text, whatever it looks like.
    `CREATE TABLE "${MARKUP}" (id bigint PRIMARY KEY, "${MARKUP}" text)`, `INSERT INTO "${MARKUP}" VALUES (1, '${MARKUP}')`,
    `COMMENT ON TABLE "${MARKUP}" IS '${MARKUP}'`);
  const browser = await chromium.launch({ executablePath: process.env.NEARLAKE_CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  try {
    const page = await open(browser);
    await page.goto(URL);
    await page.waitForSelector('.dot.good');
    await statements(page);
    await errors(page);
    await builds(page, browser);
    await plans(page);
    await search(page);
    await activity(page);
    await webhooks(page);
    await markup(page);
    await themes(page);
    await keyboard(page);
    assert.deepEqual(page.faults, []);
    await phone(browser);
    await readers(browser);
  } finally {
    await browser.close();
  }
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
