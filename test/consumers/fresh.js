/** New applications as Nest's generator makes them, with what README and docs say pasted into them word for word. */
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, write } from './workbench.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const testing = readFileSync(join(root, 'docs/testing.md'), 'utf8');
const logs = readFileSync(join(root, 'docs/logs.md'), 'utf8');

const LOGGERS = { 'nestjs-pino': '4.6.1', pino: '10.4.0', 'pino-http': '11.0.0', winston: '3.19.0' };
const SHARED = {
  '@opentelemetry/api': '1.9.1',
  '@types/express': '5.0.6',
  '@types/supertest': '7.2.1',
  'reflect-metadata': '0.2.2',
  rxjs: '7.8.2',
  supertest: '7.3.2',
};
const PACKAGES = {
  11: {
    ...nest({ cli: '11.0.24', schematics: '11.1.0', common: '11.2.10', core: '11.2.10', 'platform-express': '11.2.10', testing: '11.2.6' }),
    ...SHARED,
    ...LOGGERS,
    '@types/jest': '30.0.0',
    '@types/node': '24.19.4',
    jest: '30.5.2',
    'ts-jest': '29.4.15',
    typescript: '5.9.3',
  },
  12: {
    ...nest({ cli: '12.0.8', schematics: '12.0.6', common: '12.5.1', core: '12.5.1', 'platform-express': '12.5.1', testing: '12.1.1' }),
    ...SHARED,
    '@types/node': '24.19.4',
    typescript: '6.0.3',
    'vite-tsconfig-paths': '5.1.4',
    vitest: '4.1.12',
  },
};

export const FRESH = [
  freshApplication('11', 'commonjs', [matching(testing, /^it\('loads an order'/m), matching(testing, /^it\('traces an order'/m)]),
  freshApplication('12', 'module', [
    matching(testing, /^it\('loads an order'/m),
    // In place of what the block declares for jest.
    matching(testing, /^it\('traces an order'/m).replace(/^declare [^]*?^}\n(?=expect)/m, matching(testing, /^declare module 'vitest'/m)),
  ]),
];

function freshApplication(major, type, specs) {
  return {
    name: 'fresh application, README',
    nests: [major],
    ci: major,
    type,
    packages: () => PACKAGES[major],
    prepare: async folder => {
      await run(process.execPath, [join('..', 'node_modules/@nestjs/cli/bin/nest.js'), 'new', 'fresh', ...NO_QUESTIONS], { cwd: folder });
      const fresh = join(folder, 'fresh');
      const isModule = type === 'module';
      write(join(fresh, 'src/app.module.ts'), matching(readme, /^export class AppModule {}/m));
      const main = join(fresh, 'src/main.ts');
      write(main, patched(readFileSync(main, 'utf8'), /^```diff\n([^]*?)^```$/m.exec(readme)[1]));
      for (const [index, spec] of specs.entries()) {
        write(join(fresh, `src/readme-${index}.spec.ts`), isModule ? spec : spec.replace('./app.module.js', './app.module'));
      }
      if (!isModule) for (const [name, content] of Object.entries(loggers())) write(join(fresh, 'src', name), content);
      await run(process.execPath, [tool('@nestjs/cli/bin/nest.js'), 'build'], { cwd: fresh });
      await run(process.execPath, [tool('typescript/bin/tsc'), '--noEmit', '-p', 'tsconfig.json'], { cwd: fresh });
      renameSync(join(folder, 'src/ask.mjs'), join(fresh, 'ask.mjs'));
    },
    run: async (node, folder) => {
      const cwd = join(folder, 'fresh');
      const address = /\(http:\/\/localhost:3000(\/[^)]*)\)/.exec(readme)[1];
      const asked = await run(node, ['ask.mjs', 'dist/main.js', address], { cwd, env: { NODE_ENV: '' } });
      const logged = type === 'module' ? '' : await run(node, ['dist/loggers.js'], { cwd });
      const tests =
        type === 'module'
          ? await run(node, [tool('vitest/vitest.mjs'), 'run'], { cwd })
          : await run(node, [tool('jest/bin/jest.js'), '--ci', '--runInBand'], { cwd });
      return asked + logged + tests;
    },
    // The picture of the README, with other numbers.
    proof: new RegExp(
      `${pictureOf(matching(readme, /^✔ GET \/orders\/:id/m, ''))}[^]*ended by SIGTERM\\n${type === 'module' ? '' : '[^]*loggers ok'}`,
    ),
  };
}

const NO_QUESTIONS = ['--skip-install', '--skip-git', '--package-manager', 'npm'];

/** The block of a page, of TypeScript or of no language, that has `part`. */
function matching(text, part, language = 'ts') {
  const blocks = [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)];
  const found = blocks.find(([, itsLanguage, block]) => itsLanguage === language && part.test(block))?.[2];
  if (found === undefined) throw new Error(`No block of the documentation has ${part}.`);
  return found;
}

/** `source` with the lines that `diff` adds; what it shows around them must be there. */
function patched(source, diff) {
  const lines = diff.trimEnd().split('\n');
  const before = lines.filter(line => line.startsWith(' ')).map(line => line.slice(1));
  const after = lines.map(line => line.slice(1));
  if (!source.includes(before.join('\n'))) throw new Error(`main.ts of a new application is not what the README shows:\n${source}`);
  return source.replace(before.join('\n'), after.join('\n'));
}

/** Numbers, ids and bars differ from run to run; names, order and tree do not. */
function pictureOf(block) {
  return block
    .trimEnd()
    .split('\n')
    .map(line => line.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .map(line => line.replace(/[0-9a-f]{32}/, '[0-9a-f]{32}').replace(/ +[░█]+ *[░█]*$/, ' +[░█ ]+'))
    .map(line => line.replaceAll(/\d+\\.\d+ ms/g, '[\\d.]+ m?s').replaceAll(/ {2,}/g, ' +'))
    .join('\n');
}

/** The recipes for other loggers in a program: what is logged inside a request has its ids, what is logged outside has none. */
function loggers() {
  const recipe = name => new RegExp(`^// ${name}: +(.*)$`, 'm').exec(logs)[1];
  const ids = matching(logs, /^export const ids/m);
  return {
    'ids.ts': ids,
    'loggers.ts': LOGGING.replace('RECIPE_NESTJS_PINO', recipe('nestjs-pino'))
      .replace('RECIPE_PINO', recipe('pino'))
      .replace('RECIPE_WINSTON', recipe('winston')),
  };
}

const LOGGING = `
import { Controller, Get, Injectable, Logger, Module, type OnModuleInit } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { LoggerModule, Logger as NestjsPino, PinoLogger } from 'nestjs-pino';
import { Span, TracingModule } from 'nestjs-tracing';
import { pino } from 'pino';
import { createLogger, format, transports } from 'winston';
import { ids } from './ids';

const lines: Record<string, unknown>[] = [];
const write = process.stdout.write.bind(process.stdout);
const keep = (text: string) => {
  for (const line of text.split('\\n')) if (line.startsWith('{')) lines.push(JSON.parse(line) as Record<string, unknown>);
  return true;
};

@Injectable()
class OrdersService implements OnModuleInit {
  private readonly nest = new Logger('orders');
  private readonly plain = RECIPE_PINO;
  private readonly winston = RECIPE_WINSTON.add(new transports.Console());
  constructor(private readonly logger: PinoLogger) {}
  onModuleInit() {
    this.logger.info('outside');
    this.winston.info('outside');
  }
  @Span()
  async load() {
    await Promise.resolve();
    this.logger.info('inside PinoLogger');
    this.nest.log('inside Logger');
    this.plain.info('inside pino');
    this.winston.info('inside winston');
  }
}
@Controller('orders')
class OrdersController {
  constructor(private readonly orders: OrdersService) {}
  @Get(':id')
  one() {
    return this.orders.load();
  }
}
@Module({
  imports: [TracingModule.forRoot({ exporter: 'none' }), RECIPE_NESTJS_PINO],
  controllers: [OrdersController],
  providers: [OrdersService],
})
class AppModule {}

async function main() {
  process.stdout.write = keep as typeof process.stdout.write;
  const app = await NestFactory.create(AppModule, { bufferLogs: true });
  app.useLogger(app.get(NestjsPino));
  await app.listen(0, '127.0.0.1');
  await (await fetch((await app.getUrl()) + '/orders/7')).text();
  await app.close();
  process.stdout.write = write;
  const said = (line: Record<string, unknown>) => String(line.msg ?? line.message);
  const id = lines.find(line => said(line) === 'request completed')?.trace_id;
  const traced = lines.filter(line => line.trace_id === id && id !== undefined).map(said).sort();
  const expected = ['inside Logger', 'inside PinoLogger', 'inside pino', 'inside winston', 'request completed'];
  const outside = lines.filter(line => said(line) === 'outside' && line.trace_id === undefined);
  const isRight = traced.join() === expected.join() && outside.length === 2;
  console.log(isRight ? 'loggers ok' : \`not as described: \${JSON.stringify(lines, undefined, 1)}\`);
  process.exitCode = isRight ? 0 : 1;
}
void main();
`;

/** A tool's script, seen from the application that a consumer's folder has. */
function tool(path) {
  return join('../../node_modules', path);
}

function nest(packages) {
  return Object.fromEntries(Object.entries(packages).map(([name, version]) => [`@nestjs/${name}`, version]));
}
