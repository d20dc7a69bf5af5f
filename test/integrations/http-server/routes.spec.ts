import {
  Controller,
  Get,
  Module,
  Req,
  RequestMethod,
  UnauthorizedException,
  UseGuards,
  VERSION_NEUTRAL,
  Version,
  VersioningType,
} from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { RouteConfig } from '@nestjs/platform-fastify';
import { NoSpan } from '../../../lib/index.js';
import { adapters, startApplication } from './http-application.js';

class Refuses {
  canActivate(): boolean {
    throw new UnauthorizedException();
  }
}

abstract class Crud {
  @Get(':id') one() {
    return this.constructor.name;
  }
}

@Controller('cats')
class CatsController extends Crud {
  @Get(['', 'all']) all() {
    return [];
  }
}

@Controller(['dogs', 'hounds'])
class DogsController extends Crud {}

@Controller({ path: 'users', version: '1' })
class UsersV1Controller {
  @Get(':id') one() {
    return 1;
  }
  @Get(':id/secret') @UseGuards(Refuses) secret() {
    return 'never';
  }
}

@Controller({ path: 'users', version: '2' })
class UsersV2Controller {
  @Get(':id') one() {
    return 2;
  }
  @Get(':id/all') @Version(['2', VERSION_NEUTRAL]) all() {
    return 'all';
  }
}

@Controller()
class AdminController {
  @Get('reports/:year') report() {
    return 'report';
  }
}

@NoSpan()
@Controller({ path: 'pets', version: '1' })
class PetsV1Controller {
  @Get() all() {
    return 1;
  }
}

@Controller({ path: 'pets', version: '2' })
class PetsV2Controller {
  @Get() all() {
    return 2;
  }
}

@Controller({ path: 'hosted', host: ':tenant.example.com' })
class HostedController {
  @Get() get() {
    return 'by host';
  }
}

@Controller('hosted')
class UnhostedController {
  @Get() get() {
    return 'without host';
  }
  @RouteConfig({ limit: 7 })
  @Get('config')
  config(@Req() request: { routeOptions?: { config?: { limit?: number } } }) {
    return request.routeOptions?.config?.limit ?? 'none';
  }
}

@Module({ controllers: [AdminController] })
class AdminModule {}

describe.each(adapters)('the name of a server span on %s', adapter => {
  it('carries prefix, version, module path and the class that the user declared', async () => {
    const test = await startApplication(adapter, {
      controllers: [CatsController, DogsController, UsersV1Controller, UsersV2Controller],
      imports: [AdminModule, RouterModule.register([{ path: 'admin', module: AdminModule }])],
      versioning: { type: VersioningType.URI, defaultVersion: VERSION_NEUTRAL },
      configure: app => app.setGlobalPrefix('api', { exclude: [{ path: 'hounds/:id', method: RequestMethod.GET }] }),
    });
    try {
      const expected: [string, string, string][] = [
        ['/api/cats', 'GET /api/cats', 'CatsController.all'],
        ['/api/cats/all', 'GET /api/cats/all', 'CatsController.all'],
        ['/api/cats/7?q=1', 'GET /api/cats/:id', 'CatsController.one'],
        ['/api/dogs/7', 'GET /api/dogs/:id', 'DogsController.one'],
        ['/hounds/7', 'GET /hounds/:id', 'DogsController.one'],
        ['/api/v1/users/7', 'GET /api/v1/users/:id', 'UsersV1Controller.one'],
        ['/api/v1/users/7/secret', 'GET /api/v1/users/:id/secret', 'UsersV1Controller.secret'],
        ['/api/v2/users/7', 'GET /api/v2/users/:id', 'UsersV2Controller.one'],
        ['/api/users/7/all', 'GET /api/users/:id/all', 'UsersV2Controller.all'],
        ['/api/admin/reports/2026', 'GET /api/admin/reports/:year', 'AdminController.report'],
      ];
      for (const [path] of expected) await test.request(path);
      await test.recorder.waitForSpans(expected.length);
      const seen = test.recorder.spans.map(span => [span.name, span.attributes['http.route'], span.attributes['code.function.name']]);
      expect(seen).toEqual(expected.map(([, name, handler]) => [name, name.slice(4), handler]));
    } finally {
      await test.close();
    }
  });

  it('names the handler that served where only a header tells versions apart', async () => {
    const test = await startApplication(adapter, {
      controllers: [UsersV1Controller, UsersV2Controller],
      versioning: { type: VersioningType.HEADER, header: 'x-version' },
    });
    try {
      for (const version of ['1', '2']) await test.request('/users/7', { headers: { 'x-version': version } });
      await test.recorder.waitForSpans(2);
      expect(test.recorder.spans.map(span => [span.name, span.attributes['code.function.name']])).toEqual([
        ['GET /users/:id', 'UsersV1Controller.one'],
        ['GET /users/:id', 'UsersV2Controller.one'],
      ]);
    } finally {
      await test.close();
    }
  });

  it('is missing only where the handler that really serves wants no span', async () => {
    const test = await startApplication(adapter, {
      controllers: [PetsV1Controller, PetsV2Controller],
      versioning: { type: VersioningType.HEADER, header: 'x-version' },
    });
    try {
      for (const version of ['1', '2']) expect((await test.request('/pets', { headers: { 'x-version': version } })).body).toBe(version);
      await test.recorder.waitForSpans(1);
      expect(test.recorder.spans.map(span => span.attributes['code.function.name'])).toEqual(['PetsV2Controller.all']);
    } finally {
      await test.close();
    }
  });

  it('leaves what the adapter reads from handlers in place', async () => {
    const test = await startApplication(adapter, { controllers: [UnhostedController] });
    try {
      expect((await test.request('/hosted/config')).body).toBe(adapter === 'fastify' ? '7' : 'none');
      await test.recorder.waitForSpan('GET /hosted/config');
      expect(Object.hasOwn(test.app.getHttpAdapter(), 'get')).toBe(false);
    } finally {
      await test.close();
    }
  });
});

describe('the name of a server span under a host', () => {
  it('is that of the controller which serves the host', async () => {
    const test = await startApplication('express', { controllers: [HostedController, UnhostedController] });
    try {
      for (const host of ['acme.example.com', 'elsewhere']) await test.request('/hosted', { headers: { host } });
      await test.recorder.waitForSpans(2);
      expect(test.recorder.spans.map(span => span.attributes['code.function.name'])).toEqual([
        'HostedController.get',
        'UnhostedController.get',
      ]);
    } finally {
      await test.close();
    }
  });
});
