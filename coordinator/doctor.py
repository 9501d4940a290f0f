def examine(path):  # replaced below
    return []
