"""What commands print at their end."""

import os


def say_results(workdir):
    """The front's table, one more for each format that was measured, and where things are."""
    front = workdir.front()
    print(front.table())
    for name in dict.fromkeys(name for point in front for name in point.deployed):
        if name != "fp32":
            print(f"\n{front.rank(front.cost, name).table()}")
    print(f"front:  {workdir.front_file}")
    print(f"models: {workdir.models}{os.sep}")
    if workdir.report_file.exists():
        print(f"plot:   {workdir.report_file}")
