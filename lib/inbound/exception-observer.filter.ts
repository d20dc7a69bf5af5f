/** Sees every exception on its way to the application's filters and catches none: its type test takes a note and says no. */
import { Catch, type ExceptionFilter } from '@nestjs/common';
import { servedWork } from './served-work.js';

/** "Matches" nothing; being asked is enough. Nothing is paid where nothing is thrown. */
class NoException {
  static [Symbol.hasInstance](thrown: unknown): boolean {
    servedWork()?.escaped(thrown);
    return false;
  }
}

@Catch(NoException)
export class ExceptionObserver implements ExceptionFilter {
  /** Never called: {@link NoException} matches nothing. */
  catch(): void {}
}
