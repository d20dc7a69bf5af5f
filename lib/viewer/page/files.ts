/** Opens files in the viewer that the user chose or dropped on the page. */
import type { OpenedFile, TraceSummary } from '../model/wire.js';
import { announce } from './badges.js';
import { navigate } from './address.js';
import { Store } from './store.js';

/** The traces from files that were opened on this page, by id. Those of the last file are first. */
export const opened = new Store<ReadonlyMap<string, TraceSummary>>(new Map());

/** Whether the user drags a file over the page. */
export const isDragged = new Store(false);

/** From now on, files can be dropped anywhere on the page. */
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

/** Opens `files`, and then shows their trace, or the list if they have several. */
export async function openFiles(files: readonly Blob[]): Promise<void> {
  const traces: TraceSummary[] = [];
  for (const file of files) {
    try {
      const response = await fetch('/api/files', { method: 'POST', body: file });
      const answer = (await response.json()) as OpenedFile & { readonly message: string };
      if (response.ok) traces.push(...answer.traces);
      else announce(answer.message);
    } catch {
      announce('The file could not be sent to the viewer');
    }
  }
  const [only] = traces;
  if (!only) return;
  const next = new Map<string, TraceSummary>();
  for (const trace of [...traces, ...opened.value.values()]) if (!next.has(trace.traceId)) next.set(trace.traceId, trace);
  opened.set(next);
  navigate({ traceId: traces.length === 1 ? only.traceId : '', query: {} });
}
