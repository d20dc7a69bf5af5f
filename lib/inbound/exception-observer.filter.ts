/** Sees every exception on its way to the application's filters and catches none: its type test takes a note and says no. */
import { Catch, type ExceptionFilter } from '@nestjs/common';
import { workIn } from '../local/work.js';
import { ServerRequest } from './server-request.js';

/** "Matches" nothing; being asked is enough. Nothing is paid where nothing is thrown. */
class NoException {
  static [Symbol.hasInstance](thrown: unknown): boolean {
    const work = workIn();
    if (work instanceof ServerRequest) work.threw(thrown);
    return false;
  }
}

@Catch(NoException)
export class ExceptionObserver implements ExceptionFilter {
  /** Never called: {@link NoException} matches nothing. */
  catch(): void {}
}
