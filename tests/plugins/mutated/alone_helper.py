SUFFIX = "x"
