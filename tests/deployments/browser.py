"""A headless Chromium, and the pages of Prefect's UI as a person uses them."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
LAPTOP, PHONE = (1366, 900), (390, 844)
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
)


class Browser:
    """One window; screenshots are saved in `pictures`."""

    def __init__(self, address: str, profile: Path, pictures: Path) -> None:
        options = webdriver.ChromeOptions()
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.binary_location = str(BROWSER)
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.address, self.pictures = address, pictures
        self.resize(LAPTOP)

    def close(self) -> None:
        self.driver.quit()

    def resize(self, size: tuple[int, int]) -> None:
        """Set the size of the page; a window cannot be as narrow as a phone."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, path: str) -> None:
        self.driver.get(self.address + path)

    def picture(self, name: str) -> None:
        self.driver.save_screenshot(str(self.pictures / f"{name}.png"))

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait(self, condition: Callable[[], T | None], limit_s: float = 60) -> T:
        """Wait until `condition` returns something true, and return it."""

        def check(_: object) -> T | None:
            with suppress(WebDriverException, IndexError):
                return condition() or None
            return None

        try:
            return cast("T", WebDriverWait(self.driver, limit_s, 0.3).until(check))
        except TimeoutException as error:
            raise AssertionError(f"{self.driver.current_url}\n...{self.text[-2000:]}") from error

    def wait_for_text(self, *texts: str, limit_s: float = 60) -> None:
        self.wait(lambda: all(text in self.text for text in texts), limit_s)

    def click(self, text: str, *, last: bool = False) -> None:
        """Click the first button or link with exactly this text, or the last one (in a dialog)."""
        path = f".//*[self::button or self::a or self::li or @role='menuitem'][normalize-space(.)='{text}']"

        def press() -> bool:
            shown = [one for one in self.driver.find_elements(By.XPATH, path) if one.is_displayed()]
            shown[-1 if last else 0].click()
            return True

        self.wait(press)

    def overflow(self) -> float:
        """By how many pixels the page is wider than the window."""
        width: float = self.driver.execute_script(
            "return document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        )
        return width


class Form:
    """The form of a deployment's run."""

    def __init__(self, browser: Browser, deployment_id: str) -> None:
        self.browser = browser
        browser.open(f"/deployments/deployment/{deployment_id}/run")
        browser.wait_for_text("Parameters", "Submit")

    def property(self, label: str, within: WebElement | None = None) -> WebElement:
        """The part of the form with this label."""
        path = (
            ".//div[contains(concat(' ', @class, ' '), ' schema-form-property ')]"
            f"[./div[1]//span[normalize-space(.)='{label} (Optional)']]"
        )
        parent: Any = within or self.browser.driver
        return cast("WebElement", self.browser.wait(lambda: parent.find_element(By.XPATH, path)))

    def field(self, group: str, name: str) -> WebElement:
        """The part of the form for a parameter, with the name of the field in its class."""
        return self.property(_label(name), self.property(group))

    def set(self, group: str, name: str, value: object) -> None:
        """Type a value; if the field is optional, its tab for values is selected first."""
        part = self.field(group, name)
        for tab in part.find_elements(By.XPATH, ".//button[normalize-space(.)='str' or normalize-space(.)='int']"):
            self.browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", tab)
            tab.click()
        control = self.browser.wait(lambda: self.field(group, name).find_element(By.CSS_SELECTOR, "input, textarea"))
        self.browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", control)
        control.send_keys(Keys.CONTROL, "a")
        control.send_keys(str(value), Keys.TAB)

    def value(self, group: str, name: str) -> str:
        """The value that a field shows."""
        part = self.field(group, name)
        controls = part.find_elements(By.CSS_SELECTOR, "input, textarea")
        return str(controls[0].get_attribute("value")) if controls else part.text.splitlines()[-1]

    def submit(self) -> str:
        """Press the button and return the message that the page shows."""
        for _ in range(3):  # a click that only moves the focus is lost
            self.browser.click("Submit")
            with suppress(AssertionError):
                return self.browser.wait(self._answer, 5)
        raise AssertionError("the form shows no message")

    def _answer(self) -> str:
        path = "//*[contains(@class, 'p-toast')][normalize-space(.)]"
        return self.browser.driver.find_element(By.XPATH, path).text


def _label(name: str) -> str:
    return " ".join(word.capitalize() for word in name.split("_"))
