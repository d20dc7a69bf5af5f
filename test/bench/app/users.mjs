/** The application under test: a controller, a service with one awaited hop, and a call to another service. */
import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Injectable, Module, Param } from '@nestjs/common';
import { firstValueFrom } from 'rxjs';

const downstream = process.env['BENCH_DOWNSTREAM'];
let handled = 0;

/** How many requests have reached a handler. */
export function requestsHandled() {
  return handled;
}

/** The module, with what a variant adds to it: modules to import, a decorator for the service's method. */
export function usersModule({ imports, Span }) {
  class UsersService {
    constructor(http) {
      this.http = http;
    }

    async find(id) {
      const name = await this.read(id);
      return { id, name };
    }

    async read(id) {
      return `user ${id}`;
    }

    async ask(id) {
      const { data } = await firstValueFrom(this.http.get(`http://127.0.0.1:${downstream}/users/${id}`));
      return data;
    }
  }
  Injectable()(UsersService);
  Inject(HttpService)(UsersService, undefined, 0);
  if (Span !== undefined) decorateMethod(UsersService, 'find', Span());

  class UsersController {
    constructor(users, steps) {
      this.users = users;
      this.steps = steps;
    }

    ten(id) {
      return this.call(id, 10);
    }

    fifty(id) {
      return this.call(id, 50);
    }

    one(id) {
      handled++;
      return this.users.find(id);
    }

    chain(id) {
      handled++;
      return this.users.ask(id);
    }

    async call(id, times) {
      handled++;
      for (let i = 0; i < times; i++) await this.steps[STEPS[i % STEPS.length]](id);
      return { id };
    }
  }
  Controller()(UsersController);
  Inject(UsersService)(UsersController, undefined, 0);
  Inject(StepsService)(UsersController, undefined, 1);
  for (const [method, path] of [
    ['one', 'users/:id'],
    ['chain', 'chain/:id'],
    ['ten', 'calls-10/:id'],
    ['fifty', 'calls-50/:id'],
  ]) {
    decorateMethod(UsersController, method, Get(path));
    Param('id')(UsersController.prototype, method, 0);
  }

  class AppModule {}
  Module({ imports: [...imports, HttpModule], controllers: [UsersController], providers: [UsersService, StepsService] })(AppModule);
  return AppModule;
}

/** Ten asynchronous methods of a service that nobody has decorated. */
const STEPS = Array.from({ length: 10 }, (_, index) => `step${index}`);

class StepsService {}
for (const name of STEPS) {
  const value = { [name]: async id => id }[name];
  Object.defineProperty(StepsService.prototype, name, { value, writable: true, configurable: true });
}
Injectable()(StepsService);

function decorateMethod({ prototype }, method, decorator) {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, method);
  Object.defineProperty(prototype, method, decorator(prototype, method, descriptor) ?? descriptor);
}
