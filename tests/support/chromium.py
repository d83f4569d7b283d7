"""Chromium without a window: opens a page from a file, and tells all that it asked for and said."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

_FLAGS: Final = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars"
).split()
_DRAWN_WITHIN_S: Final = 60


class ChromiumMissingError(Exception):
    """There is no Chromium, or no driver of it; the message says how to get them."""


class Browser:
    """A Chromium that shows one page at a time."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(
        self,
        page: Path,
        width: int = 1280,
        height: int = 900,
        *,
        dark: bool = False,
        scale: float = 1,
    ) -> None:
        """Show a report and wait until its charts are drawn, or have failed to be."""
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 500,
        )  # fmt: skip
        self._command("Emulation.setTouchEmulationEnabled", enabled=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", features=[scheme])
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(page.as_uri())
        WebDriverWait(self.driver, _DRAWN_WITHIN_S).until(
            lambda driver: driver.execute_script(
                "return document.documentElement.dataset.charts || !document.scripts.length"
            )
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a function body returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def said(self) -> list[str]:
        """Return what the page put on the console since it was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked_for(self) -> list[str]:
        """Return the addresses that the page asked for since it was opened."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def printed(self) -> bytes:
        """Return the page as a PDF, on the paper that it asks for."""
        found = self._command("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(found["data"])

    def picture(self, x: float, y: float, width: float, height: float) -> bytes:
        """Return a part of the page as PNG."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        found = self._command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(found["data"])

    def tap(self, x: float, y: float) -> None:
        """Touch the page with a finger."""
        self._command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self._command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def _command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser with a profile of its own.

    Raises:
        ChromiumMissingError: there is none.
    """
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        raise ChromiumMissingError(
            "the report is looked at in a real browser: apt-get install chromium chromium-driver"
        )
    with TemporaryDirectory(prefix="chromium-") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        running = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield Browser(running)
        finally:
            running.quit()
