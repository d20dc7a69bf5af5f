/** Files on their way into the viewer: dropped anywhere on the page, or chosen. */
import type { OpenedFile, TraceSummary } from '../model/wire.js';
import { say } from './badges.js';
import { go } from './place.js';
import { Store } from './store.js';

/** The traces of files that were opened on this page, by id, those of the last one first. */
export const opened = new Store<ReadonlyMap<string, TraceSummary>>(new Map());

/** Whether one is held over the page. */
export const isDragged = new Store(false);

/** From now on files may be dropped anywhere. */
export function acceptFiles(): void {
  addEventListener('dragover', event => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    isDragged.set(true);
  });
  addEventListener('dragleave', event => {
    if (event.relatedTarget === null) isDragged.set(false);
  });
  addEventListener('drop', event => {
    event.preventDefault();
    isDragged.set(false);
    void openFiles([...(event.dataTransfer?.files ?? [])]);
  });
}

/** One trace is shown at once, several are listed. */
export async function openFiles(files: readonly Blob[]): Promise<void> {
  const traces: TraceSummary[] = [];
  for (const file of files) {
    try {
      const response = await fetch('/api/files', { method: 'POST', body: file });
      const answer = (await response.json()) as OpenedFile & { readonly message: string };
      if (response.ok) traces.push(...answer.traces);
      else say(answer.message);
    } catch {
      say('The viewer did not take the file');
    }
  }
  const [only] = traces;
  if (!only) return;
  const next = new Map<string, TraceSummary>();
  for (const trace of [...traces, ...opened.value.values()]) if (!next.has(trace.traceId)) next.set(trace.traceId, trace);
  opened.set(next);
  go({ traceId: traces.length === 1 ? only.traceId : '', query: {} });
}
