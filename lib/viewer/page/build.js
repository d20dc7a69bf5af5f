/** Stands in for the page until it is there: makes `built-page.ts` the way its build will. */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const html =
  '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Traces</title><style>body{font:1em system-ui}</style></head>' +
  '<body><main id="page">The page has not been built.</main><script>document.title+=""</script></body></html>';
const file = join(dirname(fileURLToPath(import.meta.url)), 'built-page.ts');
writeFileSync(file, `/** Made by build.js: the viewer's page, whole. */\nexport const builtPage: string = ${JSON.stringify(html)};\n`);
