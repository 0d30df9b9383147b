"""What every build of one command shares."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.config.result import ResolvedTarget
from edgetool.engine.cache import Cache
from edgetool.engine.events import Listener, of_model
from edgetool.engine.isolate import Children, Limits
from edgetool.engine.lock import TargetLock
from edgetool.engine.planned import BuildPlan
from edgetool.engine.stepper import Stepper
from edgetool.host import thread_count
from edgetool.plugin.manager import Plugins


@dataclass(frozen=True)
class Services:
    """The cache, the children, the one who listens, and the plugins."""

    cache: Cache
    children: Children
    listener: Listener
    plugins: Plugins

    def listener_of(self, plan: BuildPlan) -> Listener:
        """For what happens in one build: it tells the model's name, too."""
        return of_model(plan.name, self.listener)

    def stepper(self, plan: BuildPlan, *, lock: TargetLock | None = None, seconds: float | None = None) -> Stepper:
        """For the steps of one target; with a lock, any drift from it is an error. A step may take so many seconds."""
        builder = plan.target.builder
        return Stepper(
            target=plan.target.name,
            cache=self.cache,
            children=self.children,
            listener=self.listener_of(plan),
            limits=Limits(seconds=min(seconds or builder.timeout, builder.timeout), memory=builder.memory),
            python=builder.python,
            root=plan.config.root,
            lock=lock,
        )


def threads_for(target: ResolvedTarget) -> int:
    """The target's own wish, else what affinity and cgroups grant."""
    return target.threads or thread_count()
