kernel: ../../../build/images/tiny.elf
memory: 64M
await: READY
save: level=1

A guest that runs no commands, with a pattern in its memory.

  % ask "$TORPOR_NAME" "fill 16 8 5"
  filled 2048
