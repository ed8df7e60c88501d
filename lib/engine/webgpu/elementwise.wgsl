// The entry of every shader that works number by number: calls its `each` with every number's place, and with some behind the last.
@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  each((group.y * groups.x + group.x) * 256u + thread);
}
