/** What spans of command-line programs carry (semantic conventions for CLI programs, in development). */
import { basename } from 'node:path';
import { type Attributes, type Span, SpanStatusCode } from '@opentelemetry/api';

export function commandAttributes(): Attributes {
  return { 'process.executable.name': basename(process.argv[0] ?? process.title), 'process.pid': process.pid };
}

/** With which code the process is going to end; another one than 0 is a failure. */
export function recordExitCode(span: Span, code: number): void {
  if (!span.isRecording()) return;
  span.setAttribute('process.exit.code', code);
  if (code === 0) return;
  span.setAttribute('error.type', String(code));
  span.setStatus({ code: SpanStatusCode.ERROR });
}
