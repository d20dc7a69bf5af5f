/** Where the commands of nest-commander enter: each run is a root span, delivered before the process may end. */
import { type Span, SpanKind, trace } from '@opentelemetry/api';
import { commandAttributes, recordExitCode } from '../conventions/command.js';
import { recordFailure } from '../conventions/failure.js';
import { COMMAND_LINE } from '../conventions/nest-work.js';
import { hasMethods, memberOf } from '../local/has-methods.js';
import { isNoSpan } from '../local/no-span.decorator.js';
import { replaceMethod } from '../local/replace-method.js';
import type { Arrivals } from './arrival.js';
import type { Entrance } from './static-providers.js';

/** What the decorators leave on a command's class: of commands, their subcommands, and the one without name. */
const DECLARED = ['CommandBuilder:Command:Meta', 'CommandBuilder:Subcommand:Meta', 'CommandBuilder:RootCommand:Meta'];

/** A command of commander. */
interface Program {
  readonly parent?: Program | null;
  name(): string;
}

/** `deliver` resolves when what has ended was delivered, or after a deadline. @internal */
export function commandsEntrance(arrivals: Arrivals, deliver: () => Promise<void>): Entrance {
  return ({ instance, classRef }) => {
    if (!DECLARED.some(key => Reflect.hasMetadata(key, classRef)) || !hasMethods(instance, 'run', 'setCommand')) return undefined;
    const isUntraced = isNoSpan(classRef, 'run');
    return replaceMethod(instance, 'run', run => {
      return async function (...args) {
        try {
          return await arrivals.serve(
            () => describe(instance, classRef),
            () => noting(() => run.apply(this, args)),
            isUntraced,
          );
        } finally {
          // Whoever waits for it may end the process next.
          await deliver();
        }
      };
    });
  };
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
      // Known only where the command has set it: who catches the error decides.
      if (process.exitCode !== undefined) recordExitCode(span, Number(process.exitCode));
    },
  } as const;
}

/** What is typed to reach the command: `migrate`, `migrate up`. */
function nameOf(command: object, classRef: Function): string {
  const names: string[] = [];
  let program = memberOf(command, 'command') as Program | null | undefined;
  for (; program?.parent != null; program = program.parent) names.unshift(program.name());
  if (names.length > 0) return names.join(' ');
  const declared = DECLARED.map(key => Reflect.getMetadata(key, classRef) as { name?: unknown } | undefined).find(Boolean);
  return typeof declared?.name === 'string' && declared.name !== '' ? declared.name : classRef.name;
}

async function noting(run: () => unknown): Promise<unknown> {
  const span = trace.getActiveSpan();
  const value = await run();
  if (span !== undefined) recordExitCode(span, Number(process.exitCode ?? 0));
  return value;
}
