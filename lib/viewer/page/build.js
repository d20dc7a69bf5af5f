/** Makes one file of the page: `built-page.ts` exports it as a string, so that the package ships it without reading from the disk. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const bundle = await build({
  entryPoints: { page: join(here, 'main.tsx'), style: join(here, 'page.css') },
  outdir: here,
  bundle: true,
  minify: true,
  write: false,
  format: 'iife',
  target: ['es2023', 'chrome123', 'firefox121', 'safari17.5'],
  charset: 'utf8',
  legalComments: 'none',
  // Elements as calls of `h` weigh less than with the automatic runtime that the compiler checks them by.
  tsconfigRaw: '{}',
  jsx: 'transform',
  jsxFactory: 'h',
  jsxFragment: 'Fragment',
  inject: [join(here, 'elements.js')],
});
const text = ending => bundle.outputFiles.find(file => file.path.endsWith(ending)).text.trim();
// What would end the element early must not stand in it.
const script = text('.js').replaceAll(/<(?=\/script|!--)/gi, '\\x3c');
const style = text('.css').replaceAll(/<(?=\/style)/gi, '\\3c ');
const html = readFileSync(join(here, 'page.html'), 'utf8')
  .replace(/\n\s*/g, ' ')
  .replace('/* style */', () => style)
  .replace('/* script */', () => script);
const file = join(here, 'built-page.ts');
const content = `/** Made by build.js: the viewer's page, whole. */\nexport const builtPage: string = ${JSON.stringify(html)};\n`;
let before = '';
try {
  before = readFileSync(file, 'utf8');
} catch {
  // The first time.
}
if (before !== content) writeFileSync(file, content);
if (process.argv.includes('--print')) process.stdout.write(html);
