"""
Who is here: consent and registration. Logins are Django's own.
"""

from django.contrib.auth import login
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST
from django.views.generic import CreateView


def consent_of(request):
    """What the visitor said on the bar at the bottom; nothing yet is not a yes."""
    return request.session.get("consent", "unknown")


@require_POST
def consent(request):
    request.session["consent"] = "granted" if request.POST.get("yes") else "denied"
    then = request.POST.get("then", "")
    is_ours = url_has_allowed_host_and_scheme(then, {request.get_host()})
    return HttpResponseRedirect(then if is_ours else "/")


class Register(RedirectURLMixin, CreateView):
    form_class = UserCreationForm
    template_name = "registration/register.html"
    next_page = "/"

    def form_valid(self, form):
        # From here on the visitor is this customer; the integration links the two.
        login(self.request, form.save())
        return HttpResponseRedirect(self.get_success_url())
