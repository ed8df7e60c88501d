import { assertEquals, assertThrows } from "@std/assert";
import { profile, sized } from "lib/engine/profile.ts";

function withProfile(value: string | undefined, body: () => void): void {
  const before = Deno.env.get("NANO_LLM_PROFILE");
  const set = (text?: string) =>
    text ? Deno.env.set("NANO_LLM_PROFILE", text) : Deno.env.delete("NANO_LLM_PROFILE");
  try {
    set(value);
    body();
  } finally {
    set(before);
  }
}

Deno.test("the profile follows the machine, and NANO_LLM_PROFILE above it", () => {
  withProfile(undefined, () => assertEquals([profile(), profile(true)], ["laptop", "gpu"]));
  withProfile("smoke", () => {
    assertEquals([profile(), profile(true)], ["smoke", "smoke"]);
    assertEquals(sized({ smoke: 1, laptop: 2, gpu: 3 }), 1);
  });
});

Deno.test("a misspelt profile is refused by name", () => {
  withProfile("labtop", () => {
    const error = assertThrows(() => profile(), RangeError, '"labtop"');
    assertEquals(error.message.includes("smoke, laptop, gpu"), true);
  });
});
