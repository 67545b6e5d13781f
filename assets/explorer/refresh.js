import { byId } from './dom.js';

const EVERY = 60_000;

/** Handles the choice to refresh provisional figures: calls `refresh` each minute while the page is visible. */
export function attachRefresh(refresh) {
  setInterval(() => {
    const wanted = byId('refresh').checked && !byId('refresh-field').hidden;
    if (wanted && document.visibilityState === 'visible') refresh();
  }, EVERY);
}

/** Offers to refresh an answer whose figures may still change. */
export function offerRefresh({ provisional_from: from }) {
  byId('refresh-field').hidden = (from ?? null) === null;
}
