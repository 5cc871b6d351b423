"""The task list: `fab --list`."""

from invoke.collection import Collection

from build import demo, tasks
from build.cloud import tasks as cloud

namespace = Collection.from_module(tasks)
for task in Collection.from_module(cloud).tasks.values():
    namespace.add_task(task)
namespace.add_collection(Collection.from_module(demo), name="demo")
