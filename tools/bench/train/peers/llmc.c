/*
 * The bench's model in llm.c, spoken to as tools/bench/train/protocol.ts says. Compiled with the folder of llm.c among the include
 * paths. Arguments: checkpoint, file of batches, how many there are, B, T, learning rate, beta1, beta2, eps, weight decay.
 * llm.c has biases, does not clip and decays every parameter, so its loss is near ours but not the same.
 */
#define TESTING /* leaves out its own main */
#include "train_gpt2.c"
#include <time.h>

enum { LINE = 4096, MOST_STEPS = 1000 };

static double milliseconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e3 * now.tv_sec + 1e-6 * now.tv_nsec;
}

static int number_after(const char *line, const char *name) {
  const char *found = strstr(line, name);
  return found ? atoi(found + strlen(name)) : 0;
}

static int *read_batches(const char *path, size_t numbers) {
  int *batches = malloc(numbers * sizeof(int));
  FILE *file = fopen(path, "rb");
  if (!file || fread(batches, sizeof(int), numbers, file) != numbers) exit(1);
  fclose(file);
  return batches;
}

static void print_numbers(FILE *answers, const char *name, const double *numbers, int count) {
  fprintf(answers, "\"%s\":[", name);
  for (int i = 0; i < count; i++) fprintf(answers, "%s%.9g", i ? "," : "", numbers[i]);
  fprintf(answers, "]");
}

int main(int argc, char **argv) {
  if (argc != 11) return 1;
  /* llm.c prints as it goes; standard output belongs to the answers. */
  FILE *answers = fdopen(dup(1), "w");
  if (!answers || !freopen("/dev/null", "w", stdout)) return 1;
  int count = atoi(argv[3]), B = atoi(argv[4]), T = atoi(argv[5]), done = 0;
  float rate = atof(argv[6]), beta1 = atof(argv[7]), beta2 = atof(argv[8]), eps = atof(argv[9]), decay = atof(argv[10]);
  GPT2 model;
  gpt2_build_from_checkpoint(&model, argv[1]);
  int *batches = read_batches(argv[2], (size_t)count * 2 * B * T);
  fprintf(answers, "{\"answer\":%zu}\n", (size_t)model.num_parameters);
  fflush(answers);
  char line[LINE];
  while (fgets(line, LINE, stdin)) {
    static double times[MOST_STEPS], losses[MOST_STEPS];
    int untimed = number_after(line, "\"untimed\":"), steps = untimed + number_after(line, "\"count\":");
    if (steps > MOST_STEPS) return 1;
    for (int i = 0; i < steps; i++) {
      double start = milliseconds_now();
      int *inputs = batches + (size_t)(done++ % count) * 2 * B * T;
      gpt2_forward(&model, inputs, inputs + B * T, B, T);
      gpt2_zero_grad(&model);
      gpt2_backward(&model);
      gpt2_update(&model, rate, beta1, beta2, eps, decay, done);
      losses[i] = model.mean_loss;
      times[i] = milliseconds_now() - start;
    }
    fprintf(answers, "{\"answer\":{");
    print_numbers(answers, "milliseconds", times + untimed, steps - untimed);
    fprintf(answers, ",");
    print_numbers(answers, "losses", losses, steps);
    fprintf(answers, "}}\n");
    fflush(answers);
  }
  return 0;
}
