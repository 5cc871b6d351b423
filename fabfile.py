"""The task list: `fab --list`."""

from invoke.collection import Collection

from build import demo, tasks

namespace = Collection.from_module(tasks)
namespace.add_collection(Collection.from_module(demo), name="demo")
