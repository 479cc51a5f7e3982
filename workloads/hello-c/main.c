/* Greets, shows its arguments, and exits with the code that it is asked for: `hello-c 3`. */

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const char *name = getenv("POD_NAME");
  printf("hello from C in %s\n", name ? name : "nowhere");
  for (int i = 1; i < argc; i++)
    printf("argument %d is %s\n", i, argv[i]);
  fprintf(stderr, "and good-bye\n");
  return argc > 1 ? atoi(argv[1]) : 0;
}
