/* Errors in the log of a task's end. */
function detailsOf(event) {
    return (Array.isArray(event.log) ? event.log : [])
        .filter(function (item) {
            return item && item.level === 'error';
        })
        .map(function (item) {
            return typeof item.message === 'string' ? item.message : JSON.stringify(item);
        });
}

function messageOf(event) {
    if (typeof event.error === 'string') {
        return event.error + (event.details && event.details.error ? ', ' + event.details.error : '');
    }
    return event.error ? String(event.error.message) : '';
}

/* A structured error keeps its form, so that its code is not lost: the details get into its message. */
function withDetails(message, details) {
    var suffix = details.length > 0 ? ': ' + details.join(', ') : '';
    var parsed;
    if (message.charAt(0) === '{') {
        try {
            parsed = JSON.parse(message);
        } catch (ignored) {
            return message + suffix;
        }
        parsed.message = String(parsed.message) + suffix;
        return JSON.stringify(parsed);
    }
    return message + suffix;
}

/* Why a task has failed, as its history tells. */
function failureOf(task) {
    var message = '';
    var details = [];
    (Array.isArray(task.history) ? task.history : []).forEach(function (entry) {
        var event = (entry && entry.event) || {};
        if (entry && entry.name === 'error' && event.error) {
            message = messageOf(event);
        } else if (entry && entry.name === 'finish') {
            details = details.concat(detailsOf(event));
        }
    });
    return { name: 'Error', message: withDetails(message || 'Unexpected error occured', details) };
}
