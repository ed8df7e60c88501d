// The entry of every shader that works row by row: LANES threads share a row, and a workgroup of 64 threads has 64 / LANES rows.
// LANES is 64, or 1 on software adapters, where waiting for one another costs more than it saves.
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  eachRow((group.y * groups.x + group.x) * (64u / LANES) + thread / LANES, thread % LANES, thread);
}
