/** Builds the page into `built-page.ts`, which exports it as one string. So the package never has to find and read a file at run time. */
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
  // Calls of `h` take fewer bytes than the automatic JSX runtime, which only the type check uses.
  tsconfigRaw: '{}',
  jsx: 'transform',
  jsxFactory: 'h',
  jsxFragment: 'Fragment',
  inject: [join(here, 'elements.js')],
});
const text = ending => bundle.outputFiles.find(file => file.path.endsWith(ending)).text.trim();
// A closing tag in a script or style would end the element early.
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
  // The file does not exist at the first build.
}
if (before !== content) writeFileSync(file, content);
if (process.argv.includes('--print')) process.stdout.write(html);
