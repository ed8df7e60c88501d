/** How big a run is. A notebook asks `profile()` for its sizes; the code is the same for all. */
import { environment } from "./environment.ts";

const PROFILES = ["smoke", "laptop", "gpu"] as const;

/** `smoke`: seconds, for tests. `laptop`: minutes on two cores. `gpu`: a real GPU's worth. */
export type Profile = typeof PROFILES[number];

/**
 * The profile of this run: `NANO_LLM_PROFILE` where it is set, else `gpu` on the WebGPU backend of a real adapter
 * and `laptop` everywhere else.
 *
 * @param hasGpu whether a real GPU does the work (see `useBackend`)
 * @throws RangeError naming the value, if NANO_LLM_PROFILE is none of the three
 */
export function profile(hasGpu = false): Profile {
  const wanted = environment("NANO_LLM_PROFILE");
  if (!wanted) return hasGpu ? "gpu" : "laptop";
  const found = PROFILES.find((name) => name === wanted);
  if (!found) {
    throw new RangeError(`NANO_LLM_PROFILE must be one of ${PROFILES.join(", ")}, got "${wanted}"`);
  }
  return found;
}

/** The value for this run's profile: `sized({ smoke: 20, laptop: 800, gpu: 5000 })`. */
export function sized<T>(sizes: Record<Profile, T>, which: Profile = profile()): T {
  return sizes[which];
}
