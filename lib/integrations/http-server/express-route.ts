/** Reads from Express the route template of a request, with the paths of the routers and applications that contain the route. */
import { isNests } from './request-seams.js';

/** A path as the user gives it to a router. */
type Path = string | RegExp | readonly (string | RegExp)[];

interface Route {
  readonly path?: Path;
  readonly stack?: readonly Layer[];
}

interface Layer {
  readonly name?: string;
  readonly handle?: unknown;
  readonly route?: Route | undefined;
  /** Since router 2.3 (Express 5.2). */
  readonly rawPath?: Path;
  readonly slash?: boolean;
  /** In Express 5. */
  readonly matchers?: readonly ((path: string) => { readonly path: string; readonly params: object } | false)[];
  /** In Express 4. */
  readonly regexp?: RegExp & { readonly fast_slash?: boolean };
  readonly keys?: readonly unknown[];
}

interface Application {
  readonly parent?: Application;
  readonly mountpath?: Path;
  readonly router?: Router;
  readonly _router?: Router;
}

interface Router {
  readonly stack?: readonly Layer[];
}

/** The members that Express sets on a request when a route serves it. */
export interface ExpressRequest {
  readonly url?: string | undefined;
  readonly baseUrl?: string;
  readonly route?: Route;
  readonly app?: object;
}

/** The mount paths that lead to a route or application, outermost first. */
type Place = readonly Path[];

/** Caches the places of routes and applications. The outer key is the application that contains them. */
const known = new WeakMap<object, WeakMap<object, readonly Place[]>>();

/**
 * Returns the template of the route that serves `request`. Returns undefined if there is no route, if Nest registered it, or if a part of
 * the path is unknown. `mounted` lists the applications that are mounted below `root`.
 */
export function expressRoute(request: ExpressRequest, root: object | undefined, mounted: readonly object[]): string | undefined {
  const { route, baseUrl = '', app = root, url = '/' } = request;
  if (route?.path === undefined || route.stack?.some(({ handle }) => isNests(handle)) === true) return undefined;
  const path = templateOf([[route.path]], pathname(url)) ?? alternatives([route.path]).join('|');
  if (app === undefined) return baseUrl === '' ? path : undefined;
  if (baseUrl === '') {
    const isHere = stackOf(app)?.some(layer => layer.route === route) === true;
    return isHere ? path : routeThatWasLeft(route, url, [app, ...mounted], root);
  }
  const mount = templateOf(placesOfRoute(route, app, root, baseUrl), baseUrl);
  return mount === undefined ? undefined : joined(mount, path);
}

/** Finds the template after an error has left the routers around the route: Express has restored the whole path in `url`. */
function routeThatWasLeft(route: Route, url: string, apps: readonly object[], root: object | undefined): string | undefined {
  const path = pathname(url);
  const places = apps.flatMap(app => placesOfRoute(route, app, root, path).map(place => [...place, route.path as Path]));
  return templateOf(places, path);
}

function placesOfRoute(route: Route, app: object, root: object | undefined, url: string): readonly Place[] {
  const within = placesOfApplication(app, root, url);
  return placesOf(route, app, within, urlBelow(url, alternatives(within[0] ?? [])[0]));
}

/** Returns the template of the path at which `app` is mounted below `root`. Returns undefined if it is unknown. */
export function expressMount({ baseUrl = '' }: ExpressRequest, app: object, root: object | undefined): string | undefined {
  return baseUrl === '' ? '' : templateOf(placesOfApplication(app, root, baseUrl), baseUrl);
}

/** Returns the start of `originalUrl` that the framework has removed from `url`. */
export function strippedPath(originalUrl: string, url: string): string {
  const original = pathname(originalUrl);
  const path = pathname(url);
  if (original.endsWith(path)) return original.slice(0, -path.length);
  return path === '/' ? original : '';
}

export function joined(mount: string, path: string): string {
  if (mount === '/') return path;
  return path === '/' && mount !== '' ? mount : mount + path;
}

/** Returns the places of `app`. Express sets `parent` (the last one) only if an application mounts `app`, so routers are searched. */
function placesOfApplication(app: Application, root: object | undefined, url: string): readonly Place[] {
  const { parent, mountpath } = app;
  if (parent !== undefined && mountpath !== undefined) {
    const paths = [mountpath, ...(stackOf(parent) ?? []).filter(({ name }) => name === 'mounted_app').map(layer => pathOf(layer, url))];
    return placesOfApplication(parent, root, url).flatMap(above => paths.flatMap(path => (path === undefined ? [] : [[...above, path]])));
  }
  const found = root === undefined || app === root ? [] : placesOf(app, root, [[]], url);
  return found.length === 0 ? [[]] : found;
}

/** Returns the places of `target` (a route or an application) in `app`. `within` holds the places of `app` itself. */
function placesOf(target: object, app: object, within: readonly Place[], url: string): readonly Place[] {
  const ofApp = known.get(app) ?? new WeakMap<object, readonly Place[]>();
  known.set(app, ofApp);
  let places = ofApp.get(target);
  if (places === undefined) {
    const found = search(stackOf(app), target, url, []);
    places = found.filter((place): place is Path[] => place.every(path => path !== undefined));
    // Before router 2.3, the path of a layer is known only during a request that matches it.
    if (found.length > 0 && places.length === found.length) ofApp.set(target, places);
  }
  return within.flatMap(above => (places ?? []).map(place => [...above, ...place]));
}

/** Returns the paths of the layers above `target`, once for each place. */
function search(stack: readonly Layer[] | undefined, target: object, url: string, above: readonly unknown[]): (Path | undefined)[][] {
  if (stack === undefined || above.includes(stack)) return [];
  return stack.flatMap(layer => {
    if (layer.route !== undefined) return layer.route === target ? [[]] : [];
    const isTarget = layer.handle === target;
    const inner = stackOf(layer.handle);
    if (!isTarget && inner === undefined) return [];
    const path = pathOf(layer, url);
    if (isTarget) return [[path]];
    const rest = typeof path === 'string' ? urlBelow(url, path) : url;
    return search(inner, target, rest, [...above, stack]).map(below => [path, ...below]);
  });
}

/** Returns the layers of a router or application of Express. Returns undefined for anything else. */
export function stackOf(handler: unknown): readonly Layer[] | undefined {
  if (typeof handler !== 'function') return undefined;
  try {
    // Express 4 has `_router`, and its `router` throws. Express 5 has `router`, and reading it creates one.
    const { stack } = handler as Router;
    return stack ?? ((handler as Application)._router ?? (handler as Application).router)?.stack;
  } catch {
    return undefined;
  }
}

/** Returns the path that the layer was given. Before router 2.3, it returns undefined if the path is not constant. */
function pathOf({ rawPath, slash, regexp, keys, matchers }: Layer, url: string): Path | undefined {
  if (rawPath !== undefined) return rawPath;
  if (slash === true || regexp?.fast_slash === true) return '/';
  if (regexp !== undefined) return keys?.length === 0 ? literal(regexp) : undefined;
  const matcher = matchers?.length === 1 ? matchers[0] : undefined;
  const match = matcher?.(url);
  if (!matcher || !match || Object.keys(match.params).length > 0) return undefined;
  // A pattern matches other text, too.
  return matcher(`${match.path}x`) || matcher(`${match.path}0`) ? undefined : match.path;
}

/** Returns the path in a constant pattern of Express 4: `/blog` for `/^\/blog\/?(?=\/|$)/i`. Else returns undefined. */
function literal({ source }: RegExp): string | undefined {
  const text = /^\^(.*?)\\\/\?\(\?=\\\/\|\$\)$/.exec(source)?.[1]?.replace(/\\([/.-])/g, '$1');
  return text === undefined || /[\\^$*+?()[\]{}|]/.test(text) ? undefined : text;
}

/** Returns the template of the first of `places` that fits `url`. */
function templateOf(places: readonly Place[], url: string): string | undefined {
  return places.flatMap(alternatives).find(template => fits(template, url));
}

function alternatives(paths: readonly Path[]): string[] {
  let templates = [''];
  for (const path of paths) {
    const choices = [path].flat(Infinity) as (string | RegExp)[];
    templates = templates.flatMap(above => choices.map(choice => joined(above, textOf(choice))));
  }
  return templates;
}

function textOf(path: string | RegExp): string {
  if (typeof path !== 'string') return path.source;
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** Returns true if `template` may match `url`. Compares segments only, and accepts all templates with patterns. */
function fits(template: string, url: string): boolean {
  if (/[*{(?+\\^]/.test(template)) return true;
  const segments = segmentsOf(template);
  const given = segmentsOf(url);
  return (
    segments.length === given.length &&
    segments.every((segment, index) => segment.includes(':') || segment.toLowerCase() === given[index]?.toLowerCase())
  );
}

/** Returns the rest of `url` after the segments that `template` matches. */
function urlBelow(url: string, template = ''): string {
  return `/${segmentsOf(url).slice(segmentsOf(template).length).join('/')}`;
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter(segment => segment !== '');
}

/** Removes the query. */
export function pathname(url: string): string {
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}
