A reset leads back to the golden, paused as the file begins or not, and any number of times.

  % ask "$TORPOR_NAME" "fill 16 8 9"
  filled 2048
  % torpor reset "$TORPOR_NAME"
  % ask "$TORPOR_NAME" "check 16 8 5"
  check ok
  % ask "$TORPOR_NAME" "fill 16 8 9"
  filled 2048
  % torpor reset "$TORPOR_NAME"
  % ask "$TORPOR_NAME" "check 16 8 5"
  check ok
