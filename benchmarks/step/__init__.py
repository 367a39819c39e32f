"""What a default fit reaches on many kinds of data, beside the optimum of its own objective."""
