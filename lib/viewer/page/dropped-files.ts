/** Files on their way into the page: dropped anywhere, or chosen. */
import { say } from './badges.js';
import { openFile } from './files.js';
import { go } from './place.js';

/** Files may be dropped anywhere; tells while one is held over the page. Returns how to stop. */
export function acceptFiles(setDragged: (isDragged: boolean) => void): () => void {
  const over = (event: DragEvent) => {
    if (event.dataTransfer?.types.includes('Files') !== true) return;
    event.preventDefault();
    setDragged(true);
  };
  const leave = (event: DragEvent) => {
    if (event.relatedTarget === null) setDragged(false);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setDragged(false);
    void openFiles([...(event.dataTransfer?.files ?? [])]);
  };
  addEventListener('dragover', over);
  addEventListener('dragleave', leave);
  addEventListener('drop', drop);
  return () => {
    removeEventListener('dragover', over);
    removeEventListener('dragleave', leave);
    removeEventListener('drop', drop);
  };
}

/** One trace is shown at once, several are listed. */
export async function openFiles(files: readonly Blob[]): Promise<void> {
  const traceIds: string[] = [];
  for (const file of files) {
    try {
      traceIds.push(...(await openFile(file)));
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
  }
  const [only] = traceIds;
  if (only !== undefined) go({ traceId: traceIds.length === 1 ? only : '', query: {} });
}
