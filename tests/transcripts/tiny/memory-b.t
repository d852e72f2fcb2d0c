What one test leaves in memory, the next one does not see: this file and its twin are the same.

  % ask "$TORPOR_NAME" "check 16 8 5"
  check ok
  % ask "$TORPOR_NAME" "fill 16 8 9"
  filled 2048
  % ask "$TORPOR_NAME" "check 16 8 9"
  check ok
