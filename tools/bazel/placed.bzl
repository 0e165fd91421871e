"""The rule that places tflite/ and configs/ where they are imported: inside keras_joslim.

What package_dir in setup.py does for an installed package, this does for Bazel's runfiles.
"""

def _placed_impl(ctx):
    placed = []
    for file in ctx.files.srcs:
        if not file.short_path.startswith(ctx.attr.folder + "/"):
            fail("expected files of {}/, got {}".format(ctx.attr.folder, file.short_path))
        link = ctx.actions.declare_file(ctx.attr.under + "/" + file.short_path)
        ctx.actions.symlink(output = link, target_file = file)
        placed.append(link)

    # As runfiles too: not every Bazel gives a program the files of a rule that is its data.
    return [DefaultInfo(files = depset(placed), runfiles = ctx.runfiles(files = placed))]

placed = rule(
    implementation = _placed_impl,
    attrs = {
        "folder": attr.string(mandatory = True, doc = "The top-level folder of the srcs."),
        "srcs": attr.label_list(allow_files = [".json", ".py"], mandatory = True),
        "under": attr.string(mandatory = True, doc = "The folder to place `folder` in."),
    },
    doc = "Gives every file of srcs a second place, `under`/`folder`/...",
)
