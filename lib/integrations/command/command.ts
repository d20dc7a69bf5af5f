/** Traces nest-commander: each run of a command is a root span. It is exported before `run()` resolves, as the process may end then. */
import { type Span, SpanKind, trace } from '@opentelemetry/api';
import { commandAttributes, recordExitCode } from '../../conventions/nestjs.js';
import { recordFailure } from '../../conventions/failure.js';
import { hasMethods, memberOf } from '../../wrapping/has-methods.js';
import { isNoSpan } from '../../api/no-span.decorator.js';
import type { Integration, NestSeams } from '../../nest/integration.js';
import { replaceMethod } from '../../wrapping/replace-method.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';

export const command: Integration = {
  name: 'command',
  install(_application, nest) {
    nest.eachProvider(commands(nest));
  },
};

/** The `system` that rules receive. */
const COMMAND_LINE = 'nest-commander';

/** Metadata of the decorators of commands, subcommands and the root command. */
const DECLARED = ['CommandBuilder:Command:Meta', 'CommandBuilder:Subcommand:Meta', 'CommandBuilder:RootCommand:Meta'];

/** A command of commander. */
interface Program {
  readonly parent?: Program | null;
  name(): string;
}

function commands(nest: NestSeams): ProviderTracing {
  return {
    find: ({ instance, classRef }) => (isDeclared(classRef) && hasMethods(instance, 'run', 'setCommand') ? [instance] : []),
    install: (instance, { classRef }) => {
      const isUntraced = isNoSpan(classRef, 'run');
      return replaceMethod(instance, 'run', run => {
        return async function (...args) {
          try {
            return await nest.inbound.run(
              () => describe(instance, classRef),
              () => withExitCode(() => run.apply(this, args)),
              isUntraced,
            );
          } finally {
            // The process may end next.
            await nest.inbound.application.deliver();
          }
        };
      });
    },
  };
}

function isDeclared(classRef: Function): boolean {
  return DECLARED.some(key => Reflect.hasMetadata(key, classRef));
}

function describe(command: object, classRef: Function) {
  const name = nameOf(command, classRef);
  return {
    message: { system: COMMAND_LINE, destination: name, url: name, headers: {} },
    kind: SpanKind.INTERNAL,
    name,
    handler: { className: classRef.name, method: 'run' },
    attributes: commandAttributes,
    fail: (span: Span, thrown: unknown) => {
      recordFailure(span, thrown);
      // The exit code is known only if the command has set it: the code that catches the error may set another one.
      if (process.exitCode !== undefined) recordExitCode(span, Number(process.exitCode));
    },
  } as const;
}

/** Returns the name of a command as a user types it: `migrate`, `migrate up`. */
function nameOf(command: object, classRef: Function): string {
  const names: string[] = [];
  let program = memberOf(command, 'command') as Program | null | undefined;
  for (; program?.parent != null; program = program.parent) names.unshift(program.name());
  if (names.length > 0) return names.join(' ');
  const declared = DECLARED.map(key => Reflect.getMetadata(key, classRef) as { name?: unknown } | undefined).find(Boolean);
  return typeof declared?.name === 'string' && declared.name !== '' ? declared.name : classRef.name;
}

async function withExitCode(run: () => unknown): Promise<unknown> {
  const span = trace.getActiveSpan();
  const value = await run();
  if (span !== undefined) recordExitCode(span, Number(process.exitCode ?? 0));
  return value;
}
