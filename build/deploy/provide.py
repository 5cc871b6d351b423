"""Have a host's engine environment there for what needs it before anything is deployed: models, and what makes them."""

from build.deploy.packages import install_packages, refuse_lacking
from build.deploy.prepare import choose_recipe, host_needs
from build.deploy.state import read_state
from build.engine.commands import BuildDirectory
from build.engine.environment import ensure_environment
from build.engine.sources import choose_sources
from build.errors import DeployError
from build.remote.host import Host
from deployment.models.spec import Deployment


def provide_environment(host: Host, deployment: Deployment, *, engine: str | None = None) -> BuildDirectory:
    """Return the environment that this deployment will use there, and build it first where it is missing."""
    facts = read_state(host)
    recipe = choose_recipe(deployment, facts, engine=engine, sources=choose_sources())
    needs, problems = host_needs(deployment, recipe, facts, host.target, host.executor)
    if problems:
        raise DeployError(*problems)
    if recipe.may_install and needs.is_open(facts.system):
        install_packages(host, needs, facts.system)
        facts = read_state(host)
        refuse_lacking(host, needs, facts.system)
        recipe = choose_recipe(deployment, facts, engine=engine, sources=recipe.sources)
    return ensure_environment(recipe, host.target, host.executor, host.reporter)
