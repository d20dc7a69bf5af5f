/** The page in a real browser, against the real server and under its policy: what a developer sees and does. */
import { readFileSync } from 'node:fs';
import { jest } from '@jest/globals';
import axe from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { writeOtlp } from '../../../lib/viewer/model/otlp-json.js';
import { findChromium } from './chromium.js';
import { checkout, large, plain, spansOf } from './generated-traces.js';
import { RunningViewer } from './running-viewer.js';

const executablePath = findChromium();
if (executablePath === undefined)
  console.warn('SKIPPED: no Chromium, so nobody looked at the viewer in a browser. Install it or set CHROMIUM_PATH.');
const suite = executablePath === undefined ? describe.skip : describe; // Skipped where there is no Chromium to look with.
jest.setTimeout(60_000);

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

suite('The viewer’s page', () => {
  const viewer = new RunningViewer();
  let browser: Browser;
  let page: Page;
  /** What a browser complains about; a spec that provokes it takes it out. */
  let complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] });
  });
  afterAll(() => browser.close());
  beforeEach(() => viewer.start());
  afterEach(async () => {
    await page.context().close();
    await viewer.stop();
    expect(complaints).toEqual([]);
  });

  async function open(path: string, options: BrowserContextOptions = {}): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, acceptDownloads: true, ...options });
    page = await context.newPage();
    complaints = [];
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', error => complaints.push(error.message));
    page.on('request', request => {
      if (!request.url().startsWith(viewer.url) && !/^(data|blob):/.test(request.url())) complaints.push(`asked ${request.url()}`);
    });
    await page.goto(viewer.url + path);
    await page.waitForSelector('.connection.live');
  }

  const names = () => page.locator('.rows .name').allTextContents();
  const active = () => page.locator('.span-row.active .name').textContent();
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  /** In JavaScript, as the page's policy lets nobody evaluate text in it, playwright's polling included. */
  const until = async (condition: string) => {
    while (!(await page.evaluate(condition))) await page.waitForTimeout(20);
  };
  const drop = (content: string) =>
    page.evaluate(`{
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([${JSON.stringify(content)}], 'traces.jsonl'));
      document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }));
    }`);
  const panel = () => page.locator('aside.panel');
  const now = 1_790_000_000_000;

  describe('lists traces', () => {
    it('newest first, with outcome, duration, services and errors', async () => {
      viewer.add(plain(1, now, 'GET /users/:id'));
      viewer.add(checkout(2, now + 1000));
      await open('/');
      await page.waitForSelector('.trace-row a');
      expect(await page.locator('.rows .what a').allTextContents()).toEqual(['POST /orders/:id/checkout', 'GET /users/:id']);
      expect(await page.locator('.rows .trace-row').first().innerText()).toMatch(/502[\s\S]*264 ms[\s\S]*orders/);
    });

    it('and shows a new one by itself', async () => {
      await open('/');
      expect(await page.locator('main').innerText()).toContain('OTEL_EXPORTER_OTLP_ENDPOINT');
      viewer.add(plain(1, now, 'GET /fresh'));
      await page.waitForSelector('text=GET /fresh');
    });

    it('by a filter that stands in the address', async () => {
      viewer.add(plain(1, now));
      viewer.add(checkout(2, now));
      await open('/');
      await press('/');
      await page.keyboard.type('error');
      await until(`location.search === '?q=error'`);
      await until(`document.querySelectorAll('.rows .trace-row').length === 1`);
      expect(await page.locator('.count').innerText()).toBe('1 of 2 traces');
    });

    it('not while it is paused, and tells how many came', async () => {
      viewer.add(plain(1, now, 'GET /before'));
      await open('/');
      await press('p');
      viewer.add(plain(2, now, 'GET /meanwhile'));
      await page.waitForSelector('text=Go on (1)');
      expect(await page.locator('text=GET /meanwhile').count()).toBe(0);
      await press('p');
      await page.waitForSelector('text=GET /meanwhile');
    });

    it('until somebody clears', async () => {
      viewer.add(plain(1, now));
      await open('/');
      await page.waitForSelector('.rows .trace-row');
      await press('X');
      await page.waitForSelector('text=Waiting for the first trace');
    });

    it('again after the server was started anew', async () => {
      viewer.add(plain(1, now, 'GET /old'));
      await open('/');
      await page.waitForSelector('text=GET /old');
      await viewer.stop();
      await page.waitForSelector('.connection.lost');
      await viewer.start();
      viewer.add(plain(2, now, 'GET /new'));
      await page.waitForSelector('text=GET /new');
      expect(await page.locator('text=GET /old').count()).toBe(0);
      // The browser itself tells that the connection was refused.
      complaints = complaints.filter(text => !/ERR_(CONNECTION|INCOMPLETE|EMPTY)/.test(text));
    });

    it('and opens the newest as it comes to who follows', async () => {
      viewer.add(plain(1, now, 'GET /first'));
      await open('/');
      await press('f');
      await page.waitForSelector('h1:text("GET /first")');
      viewer.add(plain(2, now + 1000, 'GET /second'));
      await page.waitForSelector('h1:text("GET /second")');
    });
  });

  describe('draws a waterfall', () => {
    it('with folded siblings, failures, events and the critical path', async () => {
      await open(`/trace/${viewer.add(checkout(2, now))}`);
      await page.waitForSelector('.rows .span-row');
      expect(await names()).toContain('SELECT items');
      expect(await page.locator('.times').innerText()).toBe('×14');
      expect(await page.locator('.span-row.failed').count()).toBe(6);
      expect(await page.evaluate(`getComputedStyle(document.querySelector('.rows .bar')).backgroundImage`)).toContain('linear-gradient');
      expect(await page.locator('[role=row][aria-level="2"]').first().getAttribute('aria-expanded')).toBe('true');
    });

    it.each([10, 10_000, 50_000])('of %d spans with few nodes, to its end', async count => {
      await open(`/trace/${viewer.add(large(3, now, count))}`);
      await page.waitForSelector('.rows .span-row');
      const rows = Number(await page.locator('[role=treegrid]').getAttribute('aria-rowcount'));
      expect(rows).toBeGreaterThan(count * 0.5);
      await press('End');
      await page.waitForSelector(`[aria-rowindex="${rows}"].active`);
      expect(await page.locator('*').count()).toBeLessThan(400);
    });

    it('of spans whose parent comes late, and mends it', async () => {
      const spans = checkout(2, now);
      const traceId = viewer.add(spans.slice(1));
      await open(`/trace/${traceId}`);
      await page.waitForSelector('text=not received yet');
      viewer.add(spans.slice(0, 1));
      await page.waitForSelector('.rows .span-row:has-text("POST /orders/:id/checkout")');
      expect(await page.locator('text=not received yet').count()).toBe(0);
    });

    it('that is found again by its address: span, zoom, search, collapsed rows', async () => {
      await open(`/trace/${viewer.add(checkout(2, now))}`);
      await press('j', 'j', 'ArrowLeft', 'Enter', 'z');
      await until(`/span=.*zoom=|zoom=.*span=/.test(location.search) && location.search.includes('shut=')`);
      const before = await names();
      const axis = await page.locator('.axis').innerText();
      await page.reload();
      await page.waitForSelector('aside.panel');
      expect(await names()).toEqual(before);
      expect(await page.locator('.axis').innerText()).toBe(axis);
      await page.goBack();
      await until(`!location.search.includes('zoom')`);
    });

    it('zoomed by dragging over the strip above it', async () => {
      await open(`/trace/${viewer.add(checkout(2, now))}`);
      const strip = await page.locator('.minimap').boundingBox();
      if (!strip) throw new Error('no strip');
      await page.mouse.move(strip.x + strip.width * 0.25, strip.y + 20);
      await page.mouse.down();
      await page.mouse.move(strip.x + strip.width * 0.5, strip.y + 20, { steps: 4 });
      await page.mouse.up();
      await until(`location.search.includes('zoom=')`);
      const [from = 0, to = 0] = (new URL(page.url()).searchParams.get('zoom') ?? '').split('-').map(Number);
      expect(from / 264e6).toBeCloseTo(0.25, 1);
      expect(to / 264e6).toBeCloseTo(0.5, 1);
      await press('Escape');
      await until(`!location.search.includes('zoom=')`);
    });

    it('searched inside attributes, with next and previous, and reduced to what matches', async () => {
      await open(`/trace/${viewer.add(checkout(2, now))}`);
      await press('/');
      await page.keyboard.type('db.system.name=postgresql');
      await press('Enter');
      await page.waitForSelector('output:text("17")');
      await press('n', 'n');
      expect(await active()).toBe('SELECT orders');
      await press('N');
      expect(await active()).toBe('SELECT session');
      await press('o');
      await page.waitForSelector('.dimmed');
      expect(await names()).not.toContain('MailService.send');
      expect(await names()).toContain('AuthGuard.canActivate');
    });

    it('walked through by keyboard alone, to the details of the failure', async () => {
      viewer.add(checkout(2, now));
      await open('/');
      await page.waitForSelector('.rows .trace-row');
      await press('j', 'Enter');
      await page.waitForSelector('.rows .span-row');
      await press('e', 'e', 'e', 'Enter');
      await panel().waitFor();
      await page.waitForSelector('.exception .own');
      expect(await panel().innerText()).toContain('PaymentError');
      expect(await page.locator('.exception .own').allTextContents()).toEqual([
        expect.stringContaining('payments.client.ts:41'),
        expect.stringContaining('orders.service.ts:88'),
      ]);
      await press('Escape', 'Escape');
      await until(`location.pathname === '/'`);
      await press('?');
      await page.waitForSelector('dialog[open]');
      await press('Escape');
      await page.waitForSelector('dialog[open]', { state: 'detached' });
      await press('g', 's');
      await page.waitForSelector('svg .call');
    });

    it('and a flame graph and a table of the same trace', async () => {
      await open(`/trace/${viewer.add(checkout(2, now))}`);
      await press('2');
      await page.waitForSelector('.frame:has-text("POST api.bank.example")');
      await press('3');
      await page.waitForSelector('tbody tr');
      expect(await page.locator('tbody tr').first().innerText()).toMatch(/POST api.bank.example/);
    });
  });

  it('draws the map of services again while traces keep coming', async () => {
    await open('/?view=services');
    let added = 0;
    const traffic = setInterval(() => viewer.add(plain(++added, now)), 100);
    try {
      await page.waitForSelector('.map svg', { timeout: 8000 });
    } finally {
      clearInterval(traffic);
    }
    expect(added).toBeGreaterThan(5);
  });

  it('compares two traces of one route', async () => {
    viewer.add(checkout(2, now));
    viewer.add(checkout(3, now + 5000, { isFailed: false, slow: 2, items: 4 }));
    await open('/');
    await page.waitForSelector('.rows .trace-row');
    await press('j', 's', 'j', 's', 'c');
    await page.waitForSelector('.pair-row');
    const items = await page.locator('.pair-row:has-text("SELECT items")').innerText();
    expect(items.replace(/\s+/g, ' ')).toMatch(/×4 8.00 ms ×14 33.0 ms \+25.0 ms/);
  });

  it('opens a file that is dropped on it, marks what was in it, and gives it back', async () => {
    await open('/');
    const lines = [writeOtlp(plain(5, now, 'GET /from-file')), writeOtlp(checkout(6, now))]
      .map(request => JSON.stringify(request))
      .join('\n');
    await drop(lines);
    await page.waitForSelector('.trace-row:has-text("GET /from-file"):has-text("file")');
    await page.locator('text=POST /orders/:id/checkout').click();
    await page.waitForSelector('.title:has-text("file")');
    await page.waitForSelector('.rows .span-row');
    const [download] = await Promise.all([page.waitForEvent('download'), press('d')]);
    expect(download.suggestedFilename()).toMatch(/^trace-0+6\.json$/);
    expect(JSON.parse(readFileSync(await download.path(), 'utf8'))).toEqual(writeOtlp(checkout(6, now)));
  });

  it('says so where a dropped file is of no use, and goes on', async () => {
    viewer.add(plain(1, now));
    await open('/');
    for (const [content, said] of [
      ['a cat', 'This file is not OTLP JSON.'],
      ['{"resourceSpans":[]}', 'There are no spans in this file.'],
    ]) {
      await drop(content ?? '');
      await page.waitForSelector(`.said.shown:text("${said}")`);
    }
    expect(await page.locator('.rows .trace-row').count()).toBe(1);
    expect(page.url()).toBe(`${viewer.url}/`);
    // The browser itself tells that the answer was a refusal.
    complaints = complaints.filter(text => !text.includes('400 (Bad Request)'));
  });

  it('takes whatever spans are called for text', async () => {
    const evil = '<img src=x onerror="document.title=`owned`"></style><script>document.title=`owned`</script>\u202Egnp.exe\u0000"\'';
    const traceId = viewer.add(
      spansOf(7, now, [
        {
          name: evil,
          service: evil,
          kind: 'server',
          from: 0,
          to: 10,
          error: evil,
          stack: `${evil}\n    at ${evil} (/app/${evil}.ts:1:1)`,
          attributes: { [evil]: evil, __proto__x: '1' },
          events: [[evil, 2, { [evil]: evil }]],
          links: [{ traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), attributes: { [evil]: evil } }],
          children: [{ name: evil.repeat(200), service: `${evil}2`, from: 1, to: 9 }],
        },
      ]),
    );
    for (const path of [
      '/',
      `/trace/${traceId}?span=${(7_000_001).toString(16).padStart(16, '0')}`,
      `/trace/${traceId}?tab=flame`,
      `/trace/${traceId}?tab=spans`,
      '/?view=services',
      `/trace/${traceId}?with=${traceId}`,
    ]) {
      await open(path);
      await until(`document.querySelector('main')?.textContent.includes('onerror')`);
      expect(await page.title()).not.toBe('owned');
      expect(await page.locator('img, main script, main style').count()).toBe(0);
      expect(await page.locator('body').innerText()).not.toMatch(/\p{Bidi_Control}|\p{Cs}|(?!\n|\t)\p{Cc}/u);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(1400);
      if (path !== `/trace/${traceId}?with=${traceId}`) await page.context().close();
    }
  });

  describe.each([
    ['light', 1400],
    ['dark', 1400],
    ['light', 390],
    ['dark', 390],
  ] as const)('in %s colours at a width of %d', (colorScheme, width) => {
    it.each(['/', '/trace/2', '/trace/2?span=2', '/trace/2?tab=flame', '/trace/2?tab=spans', '/?view=services', '/trace/2?with=3'])(
      'shows %s without a serious finding on accessibility, and nothing sticks out',
      async path => {
        const ids = [
          viewer.add(checkout(2, now)),
          viewer.add(checkout(3, now + 5000, { isFailed: false })),
          viewer.add(plain(4, now, 'GET /missing')),
        ];
        const address = path
          .replace('/trace/2', `/trace/${ids[0]}`)
          .replace('span=2', `span=${(2_000_003).toString(16).padStart(16, '0')}`)
          .replace('with=3', `with=${ids[1]}`);
        await open(address, { colorScheme, viewport: { width, height: 800 }, reducedMotion: 'reduce', bypassCSP: true });
        await page.waitForSelector('.rows .tree, .trace-row, .frame, tbody tr, svg .call');
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
        await page.evaluate(axe.source);
        const { violations } = await page.evaluate<{ violations: Finding[] }>('axe.run()');
        const findings = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        expect(findings.map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`)])).toEqual([]);
      },
    );
  });
});
